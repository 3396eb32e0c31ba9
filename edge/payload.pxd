cdef class Payload:
    cdef readonly bytes body
    cdef readonly dict spans
    cdef readonly Py_ssize_t values, deadline_ms
    cdef readonly bint repeated, stream, include_usage
    cdef readonly str model
