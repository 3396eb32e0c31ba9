from edge.exchange cimport Exchange


cdef class Accounts:
    cdef object _count, _bind

    cpdef saved_by(self, Exchange exchange, object cost)
    cpdef settle(self, Exchange exchange, bytes answer=*)
    cdef object _answered(self, Exchange exchange, object crossing, bytes answer)


cpdef list by_kind(object usage)
cdef bint cut_off(Exchange exchange) except -1
cpdef bytes usd(object cost)
