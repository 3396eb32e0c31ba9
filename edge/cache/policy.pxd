cimport cython

from edge.cache.memory cimport Held
from edge.call cimport Call
from edge.payload cimport Payload
from edge.routes cimport Route


@cython.final
cdef class Plan:
    cdef public bint look, store, only
    cdef public object ttl_s
    cdef public bytes digest
    cdef public Py_ssize_t choices
    cdef public Payload payload


@cython.final
cdef class Lookup:
    cdef public Plan plan
    cdef public Held held


@cython.locals(route=Route)
cpdef bint caches_for(Call call) except? -1
@cython.locals(plan=Plan, only=bint)
cpdef Plan plan_for(Call call, str mode, dict body)
cpdef bint allows(str api, str mode, dict body) except -1
