# How far a reply is, as compiled modules know it.

cimport cython

cdef int NEW, EARLY, STARTED, ENDED, BROKEN
cdef int PROMISE, START, WRITE, INTERJECT, END, BREAK, FORBIDDEN
cdef bytes TABLE


cdef class Sink:
    cdef object __weakref__

    cpdef start(self, int status, bytes lines, Py_ssize_t size)
    cpdef write(self, bytes data)
    cpdef end(self)
    cpdef abort(self)
    cpdef push(self)
    cpdef bint idle(self) except -1
    cpdef bint congested(self) except -1
    cpdef when_room(self, object room)


@cython.final
cdef class Reply:
    cdef readonly int state, status
    cdef readonly bytes latest
    cdef readonly Py_ssize_t sent
    cdef public object restorer
    cdef Sink _sink

    cpdef attach(self, Sink sink)
    cdef int _step(self, int step) except -1
    cpdef promise(self, int status, bytes lines)
    cpdef start(self, int status, bytes lines, Py_ssize_t size=*)
    cpdef write(self, bytes data)
    cpdef interject(self, bytes data)
    cdef _put(self, bytes data)
    cpdef end(self)
    cpdef abort(self)
    cpdef lost(self)
    cpdef let_go(self)
    cpdef bint new(self)
    cpdef bint promised(self)
    cpdef bint ended(self)
    cpdef bint broken(self)
    cpdef bint over(self)
    cpdef bint begun(self)
    cpdef bint has_answer(self)
    cpdef bint congested(self) except -1
    cpdef when_room(self, object room)
