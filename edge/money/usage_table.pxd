# The books of what was used, for compiled modules.

cimport cython

cdef Py_ssize_t CHANGES, FIRST
cdef long long MOST


@cython.final
cdef class Line:
    cdef readonly object row
    cdef readonly Py_ssize_t at
    cdef public long long day


@cython.final
cdef class UsageTable:
    cdef object _raw
    cdef long long[::1] _words
    cdef Py_ssize_t _regions, _base
    cdef dict _known
    cdef list _seen

    cpdef Line line(self, object row)
    @cython.locals(first=Py_ssize_t)
    cpdef enter(self, Line line, long long requests, long long input_tokens, long long output_tokens, long long cost)
    cdef _add(self, Py_ssize_t word, long long more)
