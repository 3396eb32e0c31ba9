cimport cython

from edge._fast._slots_c cimport Series as CompiledSeries
from edge.clock cimport perf_counter
from edge.call cimport Call
from edge.dialects.crossing cimport Crossing
from edge.dialects.stream cimport Stream
from edge.inquiry cimport Books, Inquiry
from edge.ledger cimport Ledger, Source
from edge.payload cimport Payload
from edge.upstreams.budget cimport HedgeBudget, RetryBudget
from edge.upstreams.choice cimport Candidates
from edge.upstreams.clocks cimport Deadline, Sweep, Timed
from edge.upstreams.retry cimport code_of_attempt
from edge.upstreams.tried cimport Tried


@cython.final
cdef class Buffers:
    cdef public Py_ssize_t held

    cpdef hold(self, Inquiry inquiry, Py_ssize_t size)
    cpdef bint lend(self, Py_ssize_t size, Py_ssize_t most)
    cpdef give_back(self, Py_ssize_t size)
    cpdef let_go(self, Inquiry inquiry, Py_ssize_t held)


@cython.final
cdef class Desk:
    cdef readonly object hooks, meter, slices
    cdef readonly RetryBudget budget
    cdef readonly HedgeBudget hedges
    cdef readonly Books accounts
    cdef readonly Buffers buffers
    cdef readonly Sweep sweep
    cdef dict _asked, _streamed, _routed
    cdef str _provider, _label, _strategy, _picked
    cdef int _status
    cdef CompiledSeries _latest, _decided, _took

    @cython.locals(payload=Payload, call=Call, deadline=Deadline)
    cpdef Deadline deadline(self, Inquiry inquiry, Timed whose, int upstreams)
    @cython.locals(ledger=Ledger)
    cpdef over(self, Inquiry inquiry, Tried tried, object error)
    @cython.locals(strategy=str, upstream=Source, took_s=double, name=str)
    cpdef routed(self, Candidates candidates, double since)
    @cython.locals(provider=str, status=int)
    cpdef asked(self, Tried tried, str label, object error)
    @cython.locals(crossing=Crossing, stream=Stream)
    cpdef streamed(self, Tried tried, str label, double upstream_s)


cdef class Outcome(Timed):
    cpdef passed(self, Tried tried, object failure)
    cpdef wins(self, Tried tried)
    cpdef failed(self, Tried tried, object error)
    cpdef bint again(self, Tried tried, int status, double now) except -1
