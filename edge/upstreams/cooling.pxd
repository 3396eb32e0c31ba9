cimport cython

@cython.final
cdef class Cooling:
    cdef readonly bint noted
    cdef readonly dict _resting, _avoided, _crowded

    cpdef rest(self, str model, double until, int status, double now)
    cpdef avoid(self, str model, double until, double now)
    cpdef crowd(self, str model, double until, double now)
    cpdef tuple resting(self, str model, double now)
    cpdef bint avoided(self, str model, double now) except -1
    cpdef bint limited(self, str model, double now) except -1
    cpdef bint usual(self, str model, double now) except -1
    cpdef answered(self, str model)
