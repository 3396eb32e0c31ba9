from edge._fast._member_c cimport Attempt as Begun
from edge.dialects.crossing cimport Crossing
from edge.inquiry cimport Inquiry
from edge.trace_context cimport span_id
from edge.upstreams.provider cimport Account, Provider
from edge.upstreams.request cimport UpstreamRequest


cdef class Tried:
    cdef readonly object upstream
    cdef readonly Begun trial
    cdef readonly Provider provider
    cdef readonly Account account, following
    cdef readonly bint names
    cdef public bint left, quiet, spent
    cdef public Crossing crossing
    cdef public UpstreamRequest request
    cdef public object usage, gate, rescue, watch
    cdef public int status, turns, turned
    cdef readonly double begun, content_at, refused_at, ended, seconds, asked_s
    cdef readonly str health
    cdef public str code, kind
    cdef readonly str span_id
    cdef public double content_s, delay, first_s, rested_at
    cdef public bint charged

    cpdef has_content(self, double now, double upstream_s, double since)
    cpdef cross(self, Inquiry inquiry)
    cpdef Account ready(self, double now)
    cpdef heed(self, dict index, double now=*)
    cpdef refuse(self, double now)
    cpdef conclude(self, str health, double now, double tokens=*, double seconds=*)
    cdef _follow(self, double now)
    cpdef object error_event(self, object error, str request_id)
