cimport cython

from edge.call cimport Call


cdef class Times:
    cdef readonly object settings
    cdef readonly double total_s, attempt_s, first_content_s, idle_s, keepalive_s


cdef class Sweep:
    cdef Deadline _first, _next
    cdef Times _times
    cdef object _timer

    cpdef Times times(self, object settings)
    cpdef add(self, Deadline deadline)
    cpdef remove(self, Deadline deadline)


cdef class Deadline:
    cdef Call _call
    cdef Sweep _sweep
    cdef Times _times
    cdef object _expired, _loop
    cdef bytes _latest
    cdef str _awaited, _phase
    cdef double _begin_s, _left_s, _made, _speak_at, _total
    cdef public double when
    cdef public bint heard, listed
    cdef public Deadline before, after

    cpdef Deadline for_attempts(self, bint stream, double total_s=*, int share=*)
    cpdef keep_alive(self, Call call)
    @cython.locals(other=Deadline)
    cpdef Deadline beside(self, object expired)
    cpdef take_over(self, Deadline other)
    cpdef bint over(self)
    cpdef double left(self) except? -1.0
    cpdef next_bytes(self)
    cpdef whole(self)
    cpdef taken(self)
    cpdef go_on(self)
    cpdef expire(self)
    cpdef listen(self, double now)
    cpdef start(self)
    cpdef wait(self)
    cpdef stop(self)
    cpdef close(self)
