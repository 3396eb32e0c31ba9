cdef class Stream:
    cdef public bint accepted, content, finished, failed, moved
    cdef public bytes error_data, sample, opening, closing
    cdef public object usage
    cdef public Py_ssize_t deltas, size, calls

    cpdef see(self, list events)
    cpdef event(self, bytes name, bytes data)
    cpdef bint complete_at_end(self) except -1
    cpdef add_usage(self, object usage)
