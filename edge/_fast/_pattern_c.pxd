# The pattern of events, for compiled modules.

cdef class EventPattern:
    cdef readonly Py_ssize_t events, size
    cdef readonly bint simple
    cdef Py_ssize_t _begin, _end
    cdef bytes _latest
    cdef Py_ssize_t _around, _least
    cdef list _parts, _holes
    cdef int _tries

    cpdef bint match(self, bytes data) except -1
    cpdef bytes text(self, bytes data)
    cpdef object learn(self, bytes event, Py_ssize_t size)
    cpdef object forget(self)
    cdef bint _compare(self, bytes one, bytes other, Py_ssize_t at) except -1
