cimport cython

from edge.inquiry cimport Inquiry
from edge.upstreams.desk cimport Buffers


@cython.final
cdef class Collected:
    cdef Buffers _buffers
    cdef Inquiry _inquiry
    cdef bytes _first
    cdef object _body
    cdef Py_ssize_t _held

    cpdef begin(self, Buffers buffers, Inquiry inquiry)
    cpdef take(self, bytes data)
    cpdef bytes whole(self, bint framed)
    cpdef let_go(self)
    cdef _hold(self, Py_ssize_t size)
