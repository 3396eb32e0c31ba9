cdef class SSEDecoder:
    cdef readonly bytes last_event_id
    cdef readonly object retry_ms
    cdef readonly Py_ssize_t pending
    cdef bytearray _partial
    cdef list _data
    cdef bytes _event
    cdef Py_ssize_t _data_size, _max_line, _max_event
    cdef bint _skip_lf, _first_line, _begun

    cpdef bint between(self) except -1
    cpdef list feed(self, bytes chunk)
    cdef bint _plain(self, bytes block, list events) except -1
    cdef object _check_pending(self)
    cdef object _dispatch(self, list events)
    cdef object _line(self, bytes line)
    cdef object _data_line(self, bytes value)
