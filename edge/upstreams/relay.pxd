from edge._fast._sse_c cimport SSEDecoder as CompiledDecoder
from edge.dialects.crossing cimport Crossing
from edge.dialects.stream cimport Stream


cdef class EventRelay:
    cdef Crossing _crossing
    cdef CompiledDecoder _decoder
    cdef readonly Stream stream
    cdef bytearray _held
    cdef bint _cut_event, _translates
    cdef object _watch

    cpdef Stream checked(self)
    cdef bytes _take(self, bytes chunk)
    cdef bytes _take_end(self)

    cpdef bytes rest(self, bytes after)
    cpdef bytes take(self, bytes chunk)
    cpdef bytes take_end(self)
