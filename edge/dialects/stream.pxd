cdef class Stream:
    cdef public bint accepted, content, finished, failed, moved, plain
    cdef public bytes error_data, sample, opening, closing
    cdef public object usage
    cdef public Py_ssize_t deltas, size, calls, seen

    cpdef see(self, list events)
    cpdef again(self, Py_ssize_t events, Py_ssize_t size)
    cpdef event(self, bytes name, bytes data)
    cpdef bint complete_at_end(self) except -1
    cpdef add_usage(self, object usage)
