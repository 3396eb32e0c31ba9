from edge.inquiry cimport Inquiry
from edge.upstreams.choice cimport Candidates
from edge.upstreams.clocks cimport Deadline, Sweep
from edge.upstreams.retry cimport code_of_attempt
from edge.upstreams.tried cimport Tried


cdef class Buffers:
    cdef public Py_ssize_t held

    cpdef hold(self, Inquiry inquiry, Py_ssize_t size)
    cpdef let_go(self, Inquiry inquiry, Py_ssize_t held)


cdef class Desk:
    cdef readonly object budget, hedges, hooks, meter, accounts, slices
    cdef readonly Buffers buffers
    cdef readonly Sweep sweep
    cdef object _asked, _streamed, _routed

    cpdef Deadline deadline(self, Inquiry inquiry, object expired, int upstreams)
    cpdef over(self, Inquiry inquiry, Tried tried, object error)
    cpdef routed(self, Candidates candidates, double since)
    cpdef asked(self, Tried tried, str label, object error)
    cpdef streamed(self, Tried tried, str label, double upstream_s)


cdef class Outcome:
    cpdef passed(self, Tried tried, object failure)
    cpdef wins(self, Tried tried)
    cpdef failed(self, Tried tried, object error)
    cpdef bint again(self, Tried tried, int status) except -1
