cimport cython

from edge.payload cimport Payload


@cython.final
cdef class Generation:
    cdef object _word


@cython.final
cdef class Held:
    cdef readonly object entry
    cdef readonly bytes lines, stream_lines
    cdef readonly dict forms

    cpdef bytes form_for(self, Payload payload)
    cdef bytes _form(self, bint stream, bint include_usage)
    cpdef double left_s(self) except? -1


@cython.final
cdef class MemoryCache:
    cdef object _ttl_s, _meter, _lfu, _cleared
    cdef Generation _generation
    cdef object _seen
    cdef tuple _told
    cdef Py_ssize_t _writes

    cpdef Held get(self, bytes digest)
    cpdef put(self, bytes digest, Held held)
    cpdef clear(self)
    cpdef report(self)
