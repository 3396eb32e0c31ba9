# The counting of requests, compiled.

from edge._fast._slots_c cimport Counter as CompiledCounter
from edge._fast._slots_c cimport Histogram as CompiledHistogram
from edge.hooks cimport Recorder, RequestRecord


cdef class Tally(Recorder):
    cdef object _metrics
    cdef CompiledCounter _requests, _errors
    cdef CompiledHistogram _duration, _overhead, _upstream

    cpdef done(self, RequestRecord record)
