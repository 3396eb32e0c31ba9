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
    cpdef settle(self, Exchange exchange, bytes answer=*)
    cdef object _answered(self, Exchange exchange, object crossing, bytes answer)


cpdef list by_kind(object usage)
cdef bint cut_off(Exchange exchange) except -1
