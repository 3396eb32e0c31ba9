from edge.exchange cimport Exchange


cdef class ClientHeaders:
    cdef object _own, _dropped, _betas, _dropped_betas, _spoken
    cdef bint _merges, _versioned
    cdef str _pinned

    cpdef list crossing(self, Exchange exchange, bint translated)
    cpdef bint holds_back(self, bytes name) except -1
    cpdef str version(self, Exchange exchange)
