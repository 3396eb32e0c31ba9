from edge.grant cimport Grant
from edge.guard.auth cimport Auth
from edge.trace_context cimport Sampling


cdef class State:
    cdef readonly object settings, fleet, router, catalog, grants, _policies
    cdef readonly Auth auth
    cdef readonly bytes salt
    cdef readonly object nobody
    cdef readonly Grant nothing
    cdef readonly bint caches
    cdef readonly double route_sample
    cdef readonly Sampling sampling
    cdef readonly Py_ssize_t max_in_flight, max_body_bytes, few

    cpdef Grant grant(self, object key, str model, object route)
    cpdef Grant kept_grant(self, object key, object head, object payload)
    cdef Grant _grant(self, object key, str model, object route)
