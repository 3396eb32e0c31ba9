# A client's call, as compiled modules know it.

cimport cython

from edge.clock cimport perf_counter
from edge.head cimport Head
from edge.inquiry cimport Inquiry
from edge.ledger cimport Answered
from edge.terms cimport Terms
from edge.trace_context cimport fresh, given





@cython.final
cdef class Ids:
    cdef str _drawn
    cdef Py_ssize_t _at

    @cython.locals(at=Py_ssize_t)
    cpdef str next(self)
    cpdef forget(self)


cdef Ids IDS


cdef class Call(Inquiry):
    cdef public str peer
    cdef public tuple certificate
    cdef public bytes body
    cdef public double received_at
    # What the stages find out.
    cdef public object lease, lookup
    cdef public str pii
    cdef public object declared, form, unseen
    cdef public object errand
    cdef public bint admitted, closes, settled

    @cython.locals(asked=bytes, request_id=str, drawn=bint)
    cpdef arrive(self, Head head, dict varying, str peer, double received_at, Terms state)
    cpdef over(self, object error)
    @cython.locals(spent=double)
    cpdef double overhead_s(self)
    @cython.locals(attempt=Answered, answered=str)
    cpdef str found(self)
    cpdef hold_back(self, bint back)
    cpdef keep_alive(self)
