cdef class Grant:
    cdef readonly str alias, label, cache
    cdef readonly tuple choices, upstreams
    cdef readonly bytes identity
