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
    cdef object _looking
    cdef public double deadline

    cpdef answered(self)
    cpdef done(self, bint closes)
    cdef _advance(self)
    cdef _finish(self)
    cpdef hold_back(self, bint back)
    @cython.locals(now=double)
    cdef _waited_for_us(self)
    cpdef _look(self)
    cpdef close(self)
    cpdef bint idle(self) except -1
    cdef _clock(self)
    cpdef refuse(self, object error)
