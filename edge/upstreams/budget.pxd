cimport cython

@cython.final
cdef class RetryBudget:
    cdef public Py_ssize_t successes
    cdef double _tokens, _at


@cython.final
cdef class HedgeBudget:
    cdef public Py_ssize_t requests
    cdef double _tokens

    cpdef bint counts(self) except -1
