cdef class Words:
    cdef readonly tuple words
    cdef readonly Py_ssize_t which
    cdef Py_ssize_t _size
    cdef bytes _seconds
    cdef object _pattern

    cpdef Py_ssize_t find(self, bytes body, Py_ssize_t at) except -2
