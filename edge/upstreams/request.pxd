cdef class UpstreamRequest:
    cdef readonly bytes method, target, fields, own, body
    cdef readonly bint once
    cdef public bint sent
