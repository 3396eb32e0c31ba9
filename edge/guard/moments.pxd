# The clocks of the limits, as compiled modules call them.

cpdef long long monotonic_ns() except? -1
cpdef double wall() except? -1.0
