cimport cython

from edge.guard.leaves cimport Leaf


@cython.final
cdef class Edited:
    cdef bytes _text
    cdef Py_ssize_t _at
    cdef object _out

    cpdef replace(self, Py_ssize_t start, Py_ssize_t end, bytes new)
    cpdef bytes whole(self)


@cython.final
cdef class Redacted:
    cdef readonly object policy
    cdef readonly bytes body
    cdef readonly dict originals
    cdef readonly list counts
    cdef str _tenant

    cpdef change(self, bytes body)
    cpdef str stand_in(self, int kind, str text)
    cpdef str custom(self, int index, str text)
    cdef str _pseudonym(self, int kind, str text)


cdef bint _stands(bytes body, Leaf leaf, object customs) except -1
cdef bint _hides(bytes body, Py_ssize_t start, Py_ssize_t end) except -1
cdef bint _in_parts(bytes body, Leaf leaf) except -1
cdef str _text(bytes body, Py_ssize_t start, Py_ssize_t end)
