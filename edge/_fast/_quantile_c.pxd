# A running quantile for compiled modules.

cdef class Quantile:
    cdef double _share
    cdef Py_ssize_t _total
    cdef unsigned short _counts[168]

    cpdef add(self, double seconds)
    cpdef double value(self)
