cimport cython

from edge.upload cimport Upload


@cython.final
cdef class UpstreamRequest:
    cdef readonly bytes method, target, fields, own, body
    cdef public bint once
    cdef public bint sent
    cdef public Upload rest

    cpdef bint is_gone(self) except -1
    cpdef begin(self, bytes method, bytes target, bytes fields, bytes body, bint once, bytes own)
