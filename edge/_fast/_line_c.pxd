# Lines of a log, for compiled modules.

cdef class Lines:
    cdef bytearray _buffer
    cdef char *_data
    cdef Py_ssize_t _room, _end
    cdef readonly Py_ssize_t size, count

    cdef int _grow(self, Py_ssize_t size) except -1
    cdef int _put(self, const char *data, Py_ssize_t size) except -1
    cpdef add(self, bytes data)
    cpdef text(self, str value)
    cpdef whole(self, long long value)
    cpdef hundredths(self, double value)
    cpdef usd(self, object cost)
    cpdef field(self, bytes name, bytes value)
    cpdef digits(self, long long value, int count)
    cpdef end(self)
    cpdef Py_ssize_t unended(self)
    cpdef drop(self)
    cpdef bytes back(self)
    cpdef bytes take(self)
