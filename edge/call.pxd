# A client's call, as compiled modules know it.

from edge.head cimport Head
from edge.inquiry cimport Inquiry
from edge.trace_context cimport fresh, given


cpdef str drawn_id()


cdef class Call(Inquiry):
    cdef public str peer
    cdef public tuple certificate
    cdef public bytes body
    cdef public double received_at
    # What the stages find out.
    cdef public object lease, lookup
    cdef public str pii
    cdef public object unseen
    cdef public object errand, answered
    cdef public bint admitted, closes, settled

    cpdef arrive(self, Head head, dict varying, str peer, double received_at, object state)
    cpdef double overhead_s(self)
    cpdef str found(self)
    cpdef keep_alive(self)
