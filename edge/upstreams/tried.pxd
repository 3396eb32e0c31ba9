cimport cython

from edge._fast._fields_c cimport Fields as CompiledFields
from edge.clock cimport perf_counter
from edge._fast._member_c cimport Attempt as Begun
from edge.dialects.crossing cimport Crossing
from edge.hooks cimport Usage
from edge.inquiry cimport Inquiry
from edge.ledger cimport Answered
from edge.trace_context cimport span_id
from edge.upstreams.provider cimport Account, Provider
from edge.upstreams.request cimport UpstreamRequest
from edge.upstreams.router cimport Upstream


cdef class Tried(Answered):
    cdef readonly Begun trial
    cdef readonly Provider provider
    cdef readonly Account account, following
    cdef readonly bint names
    cdef public bint left, quiet, spent
    cdef public UpstreamRequest request
    cdef public object gate, rescue, watch
    cdef public int turns, turned
    cdef readonly double begun, content_at, refused_at, ended, seconds, asked_s
    cdef readonly str health
    cdef public str code, kind
    cdef readonly str span_id
    cdef public double content_s, delay, first_s, rested_at

    cpdef begin(self, Upstream upstream, Account account, Begun trial, bint names, bint left, double begun)
    cpdef has_content(self, double now, double upstream_s, double since)
    @cython.locals(upstream=Upstream)
    cpdef cross(self, Inquiry inquiry)
    cpdef Account ready(self)
    cpdef heed(self, CompiledFields fields, double now=*)
    cpdef refuse(self, double now)
    cpdef conclude(self, str health, double now, double tokens=*, double seconds=*)
    cdef _follow(self, double now)
    @cython.locals(crossing=Crossing)
    cpdef tuple dropped(self)
    @cython.locals(crossing=Crossing)
    cpdef frozenset warnings(self)
    @cython.locals(crossing=Crossing)
    cpdef bint broke(self) except -1
    @cython.locals(crossing=Crossing)
    cpdef object error_event(self, object error, str request_id)
    cpdef bint others_left(self) except -1
    cpdef bint sent(self) except -1
