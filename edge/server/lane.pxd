from edge.exchange cimport Exchange


cdef class LaneExchange(Exchange):
    cdef readonly object lane, declared
    cdef public bint chunks, closes, complete
    cdef object _parts
    cdef public object room
    cdef public Py_ssize_t received
    cdef bint _begun, _chunked
    cdef bytes _start
    cdef list _fields

    cpdef begin(self)
    cpdef take(self, bytes data)
    cdef bint _fits(self, Py_ssize_t more) except -1
    cpdef whole(self)
    cpdef lost(self)
    cdef _admit(self)
