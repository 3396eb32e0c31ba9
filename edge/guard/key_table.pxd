cimport cython


@cython.final
cdef class KeyTable:
    cdef readonly object data
    cdef readonly bint caches, several
    cdef Py_ssize_t _count, _own, _digests, _keys
    cdef object _places
    cdef const unsigned long long[:] _starts

    @cython.locals(place=Py_ssize_t, at=Py_ssize_t, found=bint)
    cpdef object find(self, bytes digest)
    @cython.locals(low=Py_ssize_t, middle=Py_ssize_t, high=Py_ssize_t)
    cdef Py_ssize_t _place(self, unsigned long long number) except -1


cdef unsigned long long number_of(bytes digest) except? 0
