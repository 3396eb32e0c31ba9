from edge.exchange cimport Exchange


cdef class Book:
    cdef object _bind, _cost
    cdef tuple _labels
    cdef dict _tokens

    cpdef add_tokens(self, str kind, object tokens)
    cpdef add_cost(self, object cost)


cdef class Accounts:
    cdef object _count, _bind
    cdef object _books

    cpdef object charge(self, object upstream, str model_label, str tenant, object usage, bint estimated=*)

    cpdef saved_by(self, Exchange exchange, object cost)
    cpdef settle(self, Exchange exchange, object tried, object error, bytes answer=*)
    cdef object _answered(self, object tried, str path, object error, bytes answer)


cpdef list by_kind(object usage)
cdef bint cut_off(object tried, object error) except -1
