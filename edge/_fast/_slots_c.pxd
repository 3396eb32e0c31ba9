# The series of one process, for compiled modules.

cdef class Series:
    cpdef object tell(self, double value)


cdef class Counter(Series):
    cdef object _slots, _numbers
    cdef double *_value
    cdef Py_ssize_t _at
    cdef bint _sets

    cpdef object tell(self, double value)


cdef class Histogram(Series):
    cdef object _slots, _numbers
    cdef double *_buckets
    cdef Py_ssize_t _at, _count
    cdef tuple _limits
    cdef double[32] _bounds

    cpdef object tell(self, double value)
