# What is asked of providers, as compiled modules know it: its fields are those of a C struct, its methods are called
# straight.

cimport cython

from edge.head cimport Head
from edge.hooks cimport Usage
from edge.ledger cimport Answered, Ledger
from edge.payload cimport Payload
from edge.reply cimport Reply, Sink
from edge.terms cimport Granted, Terms
from edge.trace_context cimport TraceContext
from edge.upload cimport Upload


cdef class Inquiry


cdef class Books:
    cpdef settle(self, Inquiry inquiry, Answered tried, object error, bytes answer=*)


cdef class Reserved:
    cpdef used(self, Usage usage, object cost)
    cpdef more(self, object told)
    cpdef end(self)


cdef class Asker:
    cpdef fetched(self, Inquiry inquiry, object error)


cdef class Inquiry(Sink):
    # The request.
    cdef public Head head
    cdef public dict varying
    cdef public str request_id
    cdef public Terms state
    cdef public object key
    cdef public Granted grant
    cdef public Payload payload
    cdef public TraceContext trace
    # What comes of it.
    cdef public Ledger ledger
    cdef public Reserved reservation
    cdef public Py_ssize_t buffered
    cdef public Upload upload
    cdef public object keep
    cdef public Reply reply

    @cython.locals(ledger=Ledger, reply=Reply)
    cpdef asks(
        self, Head head, dict varying, str request_id, Terms state, object key, Payload payload, Granted grant
    )
    cpdef answer(self, int status, list headers, bytes body)
    cpdef begin_answer(self, int status, list headers, Py_ssize_t size)
