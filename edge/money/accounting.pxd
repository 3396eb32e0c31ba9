from edge.exchange cimport Exchange
from edge.inquiry cimport Inquiry


cdef class Book:
    cdef object _bind_tokens, _bind_cost, _cost
    cdef dict _tokens

    cpdef add_tokens(self, str kind, object tokens)
    cpdef add_cost(self, object cost)


cdef class Accounts:
    cdef object _count, _bind
    cdef object _books, _savings

    cpdef object charge(self, object upstream, str model_label, str tenant, object usage, bint estimated=*)
    cpdef saved(self, str model_label, str tenant, str tier, list kinds, object cost)
    cpdef saved_by(self, Exchange exchange, list kinds, object cost)
    cpdef settle(self, Inquiry exchange, object tried, object error, bytes answer=*)
    cdef object _answered(self, object tried, str path, object error, bytes answer)


cdef bint cut_off(object tried, object error) except -1
