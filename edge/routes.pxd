# A route, as compiled modules know it.

cimport cython

@cython.final
cdef class Route:
    cdef readonly str endpoint, method, dialect, upstream, api
    cdef readonly bint counts, forms, kept, lists, passes, stores, thinks
    cdef readonly str also
    cdef readonly tuple query
