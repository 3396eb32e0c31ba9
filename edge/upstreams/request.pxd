cdef class UpstreamRequest:
    cdef readonly bytes method, target, fields, own, body
    cdef readonly bint once
    cdef public bint sent

    cpdef begin(self, bytes method, bytes target, bytes fields, bytes body, bint once, bytes own)
