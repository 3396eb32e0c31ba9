cimport cython

from edge.inquiry cimport Inquiry
from edge.head cimport Head


@cython.final
cdef class ClientHeaders:
    cdef object _own, _dropped, _betas, _dropped_betas, _spoken
    cdef dict _translated, _passed
    cdef bint _merges, _versioned
    cdef str _pinned

    cpdef bytes lines(self, Head head, bint translated)
    cdef list _chosen(self, list selected)
    cpdef bint holds_back(self, bytes name) except -1
    cpdef str version(self, Inquiry inquiry)
