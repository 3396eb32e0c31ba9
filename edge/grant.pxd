cdef class Grant:
    cdef readonly str alias, label, cache
    cdef readonly object own
    cdef readonly tuple fallbacks, upstreams
    cdef readonly bytes identity
