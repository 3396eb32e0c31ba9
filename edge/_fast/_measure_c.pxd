# Measuring the text of requests, for who walks through them.

from edge._fast._walk_c cimport Walk


cdef Py_ssize_t escape(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) except -2
cdef Py_ssize_t saved(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) except -2
cdef bint plainly(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) except -1


cdef class Measure(Walk):
    cdef readonly long long text, messages, tools, schemas, images
    cdef readonly bint thinks, steady

    cdef object _begin_measure(self, bytes body)
    cdef bint _worded(self, int kind) except -1
    cdef bint _measure(self) except -1
    cdef bint _described(self) except -1
    cdef bint _compact(self) except -1

cpdef Py_ssize_t openings(bytes body) except -1
