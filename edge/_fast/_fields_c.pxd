# Fields, for compiled modules.

cdef class Fields:
    cdef readonly list pairs

    cpdef bytes get(self, bytes name)


cdef class FieldCollector:
    cdef list _fields
    cdef Py_ssize_t _max_fields


cdef class Joiner:
    cpdef bytes chunk(self, bytes data)
    cpdef bytes message(self, bytes start, Py_ssize_t length, bytes fields, bytes own, bytes body)
