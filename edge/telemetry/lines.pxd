# Request lines, compiled.

cimport cython

from edge._fast._line_c cimport Lines as CompiledLines
from edge.clock cimport wall
from edge.hooks cimport Recorder, RequestRecord, Usage
from edge.telemetry.writer cimport LineWriter


@cython.final
cdef class Clock:
    cdef long long _second
    cdef bytes _text

    @cython.locals(now=double, second=cython.longlong)
    cpdef write(self, CompiledLines lines)


cdef Clock CLOCK


cdef class RequestLine(Recorder):
    cdef LineWriter _writer
    cdef bytes _endpoint, _key, _asked, _end, _middle
    cdef str _peer

    cpdef done(self, RequestRecord record)
    @cython.locals(usage=Usage, most=Py_ssize_t)
    cpdef write(self, RequestRecord record, CompiledLines lines)
    cdef _who(self, str peer, CompiledLines lines)
