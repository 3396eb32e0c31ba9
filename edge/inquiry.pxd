# What is asked of providers, as compiled modules know it: its fields are those of a C struct, its methods are called
# straight.

from edge.head cimport Head
from edge.ledger cimport Ledger
from edge.payload cimport Payload


cdef class Inquiry:
    cdef object __weakref__
    # The request.
    cdef public Head head
    cdef public dict varying
    cdef public str request_id
    cdef public object state, key, grant
    cdef public Payload payload
    # What comes of it.
    cdef public Ledger ledger
    cdef public object reservation
    cdef public Py_ssize_t buffered
    # The reply.
    cdef public int status
    cdef public bint started, early, ended

    cpdef asks(
        self, Head head, dict varying, str request_id, object state, object key, Payload payload, object grant
    )
    cpdef start(self, int status, list headers, object size=*)
    cpdef write(self, bytes data)
    cpdef end(self)
    cpdef abort(self)
    cpdef bint congested(self)
    cpdef when_room(self, object room)
