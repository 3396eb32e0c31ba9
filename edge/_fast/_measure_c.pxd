from edge._fast._walk_c cimport Walk


cdef class Measure(Walk):
    cdef readonly long long text, messages, tools, schemas

    cdef bint _measure(self) except -1
    cdef Py_ssize_t _saved(self, Py_ssize_t start, Py_ssize_t end) except -2
    cdef Py_ssize_t _escape(self, Py_ssize_t start, Py_ssize_t end) except -2
    cdef bint _described(self) except -1
    cdef bint _compact(self) except -1
    cdef bint _plainly(self, Py_ssize_t start, Py_ssize_t end) except -1

cpdef Py_ssize_t openings(bytes body) except -1
