cdef class EventRelay:
    cdef object _crossing, _decoder
    cdef readonly object stream
    cdef bytearray _held
    cdef bint _cut_event, _translates

    cpdef bytes rest(self, bytes after)
    cpdef bytes take(self, bytes chunk)
    cpdef bytes take_end(self)
