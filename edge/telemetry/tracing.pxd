# Which requests are told as traces, compiled.

cimport cython

from edge.call cimport Call
from edge.hooks cimport RequestRecord
from edge.trace_context cimport TraceContext


@cython.final
cdef class Tracing:
    cdef object _settings, _place, _meter, _exemplify, _log, _exporter, _timer
    cdef bint _running
    cdef Py_ssize_t _ticks, _failed, _left_out
    cdef dict _whole, _streams, _slowest
    cdef list _ending

    cpdef start(self)
    cpdef adjust(self, object settings)
    cpdef stop(self)
    cpdef _tick(self)
    cdef _tell_counts(self, object exporter)
    @cython.locals(trace=TraceContext, why=str)
    cpdef call_done(self, Call call, RequestRecord record)
    @cython.locals(took=double, slowest=dict)
    cdef bint _is_slowest(self, RequestRecord record) except -1
    @cython.locals(trace=TraceContext)
    cdef _keep(self, Call call, RequestRecord record, str why)
    cdef _export(self, object exporter, object kept, RequestRecord record)
    cdef _turn(self, object exporter)
    cdef _forget(self)
