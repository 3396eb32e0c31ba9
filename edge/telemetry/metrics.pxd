# The counting of requests, compiled.

from edge._fast._slots_c cimport Counter as CompiledCounter
from edge._fast._slots_c cimport Histogram as CompiledHistogram
from edge.hooks cimport Recorder, RequestRecord


cdef class Tally(Recorder):
    cdef object _metrics
    cdef CompiledCounter _requests
    cdef CompiledHistogram _duration, _overhead, _upstream, _sent, _returned
    cdef tuple _failures
    cdef GenAi _genai

    cpdef done(self, RequestRecord record)


cdef class GenAi(Recorder):
    cdef CompiledHistogram _waited, _served, _first, _read, _written

    cpdef done(self, RequestRecord record)
