# The series of one process, for compiled modules.

cdef class Counter:
    cdef object _slots, _numbers
    cdef double *_value
    cdef Py_ssize_t _at

    cpdef add(self, double amount)
    cpdef set(self, double value)


cdef class Histogram:
    cdef object _slots, _numbers
    cdef double *_buckets
    cdef Py_ssize_t _at, _count
    cdef tuple _limits
    cdef double[32] _bounds

    cpdef observe(self, double value)
