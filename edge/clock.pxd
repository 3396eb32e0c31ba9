# The clocks, as compiled modules call them.

cpdef double perf_counter() except? -1.0
cpdef double wall() except? -1.0
