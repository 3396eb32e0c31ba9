# What has become of a request, as compiled modules know it.


cimport cython

from edge.clock cimport perf_counter
from edge.hooks cimport Usage


@cython.final
cdef class Verdict:
    cdef readonly str word
    cdef readonly bytes lines


cdef class Source:
    cdef readonly str name, model
    cdef readonly bytes lines
    cdef readonly object price

    cpdef object price_of(self, str model)


cdef class Answered:
    cdef readonly Source upstream
    cdef public Usage usage
    cdef public int status
    cdef public bint charged
    cdef public object crossing

    cpdef tuple dropped(self)
    cpdef frozenset warnings(self)
    cpdef str found(self)
    cpdef bint broke(self) except -1
    cpdef object error_event(self, object error, str request_id)


@cython.final
cdef class Ledger:
    cdef public Source upstream
    cdef public object cost
    cdef public Answered attempt
    cdef public Usage usage
    cdef public int attempts
    cdef public list tries
    cdef public bint estimated, rescued
    cdef public double asked_at, content_at, upstream_s, upload_s
    cdef double _counted
    cdef public Verdict cache
    cdef public object stored, error, decision, leader
    cdef public str hedge, kind
    cdef public bytes particulars

    cpdef begin(self)
    @cython.locals(now=double)
    cpdef waited(self, double since)
    cpdef recalled(self, object entry, Verdict tier)
    cpdef shares(self, Ledger flight)
    cpdef accounts_for(self, Ledger flight)
    cpdef str failure(self, int status)


cpdef str kind_of_status(int status)
