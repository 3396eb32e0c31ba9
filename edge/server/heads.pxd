from edge.head cimport Head


cdef class Heads:
    cdef readonly object by_key
    cdef public Head latest

    cpdef Py_ssize_t find(self, Head known, bytes data) except -1
    cpdef Head learn(self, object read, object match, bytes target, bytes query, list headers)
