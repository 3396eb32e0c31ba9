# The clocks of the limits, as compiled modules call them.

cimport cython

cdef long long DAY_NS


@cython.locals(now=cython.longlong)
cpdef long long monotonic_ns() except? -1
@cython.locals(now=cython.longlong)
cpdef long long today() except? -1
@cython.locals(now=double)
cpdef double wall() except? -1.0
