cdef class KeyTable:
    cdef readonly object data
    cdef readonly bint caches
    cdef Py_ssize_t _count, _digests, _keys
    cdef object _starts, _places

    cpdef object find(self, bytes digest)
