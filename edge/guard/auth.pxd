from edge.exchange cimport Exchange


cdef class Auth:
    cdef readonly bint open, loopback_only
    cdef object _table
    cdef public dict _known
    cdef object _said

    cpdef object key_of(self, bytes digest)
    cpdef object identify(self, Exchange exchange)
    cdef object _find(self, bytes token)
    cpdef check_open(self, Exchange exchange)


cdef bytes bearer(Exchange exchange)
