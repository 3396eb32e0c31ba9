cimport cython

from edge._fast._pattern_c cimport EventPattern as CompiledPattern
from edge._fast._sse_c cimport SSEDecoder as CompiledDecoder
from edge.dialects.crossing cimport Crossing
from edge.dialects.stream cimport Stream


@cython.final
cdef class EventRelay:
    cdef Crossing _crossing
    cdef CompiledDecoder _decoder
    cdef CompiledPattern _pattern
    cdef readonly Stream stream
    cdef bytearray _held
    cdef bint _cut_event
    cdef object _watch

    cpdef bint refused(self) except -1
    cpdef Stream checked(self)
    cpdef bint moved(self) except -1
    @cython.locals(decoder=CompiledDecoder, pattern=CompiledPattern, stream=Stream, between=bint, events=list, said=bytes, translated=bytes, pending=Py_ssize_t)
    cdef bytes _take(self, bytes chunk)
    @cython.locals(pattern=CompiledPattern)
    cdef bytes _again(self, bytes chunk)
    @cython.locals(pattern=CompiledPattern, latest=bytes, text=bytes)
    cdef _learn(self, bytes event, Py_ssize_t size)
    cdef bytes _take_end(self)

    cpdef bytes rest(self, bytes after)
    cpdef bytes take(self, bytes chunk)
    cpdef bytes take_end(self)
