# An exchange as compiled modules know it: its fields are those of a C struct, its methods are called straight.

from edge.head cimport Head
from edge.payload cimport Payload


cdef class Exchange:
    cdef object __weakref__
    # The request.
    cdef public Head head
    cdef public dict varying
    cdef public str peer, request_id
    cdef public bytes body
    cdef public double received_at
    # What the stages find out.
    cdef public object state, key, lease, grant, lookup, upstream, attempt, stored, usage
    cdef public Payload payload
    cdef public str cache
    cdef public int attempts
    cdef public object cost
    cdef public bint estimated
    cdef public double content_at, upstream_s
    # The reply.
    cdef public int status
    cdef public object error, errand, answered
    cdef public Py_ssize_t buffered
    cdef public bint admitted, shares, started, early, ended, gone, settled
    cdef public bytes latest
    cdef public str kind

    cpdef blank(self)
    cpdef waited(self, double since)
    cpdef double overhead_s(self)
    cpdef object record(self, str kind)
    cpdef start(self, int status, list headers, object size=*)
    cpdef write(self, bytes data)
    cpdef end(self)
    cpdef abort(self)
    cpdef interject(self, bytes data)
    cpdef bint congested(self)
    cpdef when_room(self, object room)
