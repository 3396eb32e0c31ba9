from edge.grant cimport Grant
from edge.guard.auth cimport Auth


cdef class State:
    cdef readonly object settings, fleet, router, catalog, grants
    cdef readonly Auth auth
    cdef readonly bint caches

    cpdef Grant grant(self, object key, str model, object route)
    cdef Grant _grant(self, object key, str model, object route)
