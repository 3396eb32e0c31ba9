cdef class Turns:
    cdef object __weakref__
    cdef readonly object loop, logger, server_state
    cdef public object crowd, door, group, client, transport, flow
    cdef readonly tuple certificate
    cdef object _running, _reading, _waiting
    cdef bytes _refusal
    cdef Py_ssize_t _pipelined, _body_size
    cdef bint _advancing, _lingering, _in_head, _served, _full
    cdef double _begun_at, _held_at
    cdef public double deadline

    cpdef answered(self)
    cdef _advance(self)
    cdef _finish(self)
    @cython.locals(now=double)
    cpdef hold_back(self, bint back)
    cpdef close(self)
    cpdef bint idle(self) except -1
    cdef _clock(self)
    cpdef refuse(self, object error)
