# What is asked of providers, as compiled modules know it: its fields are those of a C struct, its methods are called
# straight.

from edge.head cimport Head
from edge.ledger cimport Ledger
from edge.payload cimport Payload
from edge.reply cimport Reply, Sink
from edge.trace_context cimport TraceContext


cdef class Inquiry(Sink):
    # The request.
    cdef public Head head
    cdef public dict varying
    cdef public str request_id
    cdef public object state, key, grant
    cdef public Payload payload
    cdef public TraceContext trace
    # What comes of it.
    cdef public Ledger ledger
    cdef public object reservation
    cdef public Py_ssize_t buffered
    cdef public Reply reply

    cpdef asks(
        self, Head head, dict varying, str request_id, object state, object key, Payload payload, object grant
    )
    cpdef answer(self, int status, list headers, bytes body)
    cpdef begin_answer(self, int status, list headers, object size)
