# The clock, as compiled modules call it.

cpdef double perf_counter() except? -1.0
