cimport cython

from edge.cache.policy cimport Plan


cdef class Recent:
    cdef readonly Py_ssize_t most
    cdef object _state, _found

    @cython.locals(kept=tuple)
    cpdef Plan find(self, tuple key, object state)
    cpdef keep(self, tuple key, Plan found, object state, double use_s)
    cpdef clear(self)
