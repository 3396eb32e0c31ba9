from edge.exchange cimport Exchange


cdef class ClientHeaders:
    cdef object _own, _dropped, _betas, _dropped_betas, _spoken, _known
    cdef bint _merges, _versioned
    cdef str _pinned

    cpdef bytes lines(self, list headers, bint translated)
    cdef list _chosen(self, list selected)
    cpdef bint holds_back(self, bytes name) except -1
    cpdef str version(self, Exchange exchange)
