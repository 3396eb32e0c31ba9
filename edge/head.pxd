from edge._fast._body_known_c cimport KnownBodies as CompiledBodies
from edge._fast._head_known_c cimport KnownHead as CompiledHead
from edge.routes cimport Route


cdef class Head:
    cdef readonly Route route
    cdef readonly str dialect, argument, method, provider
    cdef readonly bytes target, query, coding, attributes, boundary, timeout
    cdef readonly list headers
    cdef readonly dict index
    cdef readonly frozenset repeated
    cdef readonly bint asks_methods
    cdef readonly object objection
    cdef readonly CompiledHead form
    cdef readonly CompiledBodies bodies

    cpdef object only(self, bytes name)
    cdef object _objection(self)


cpdef bytes attributes_of(dict index)
cpdef dict varying_of(list headers)
