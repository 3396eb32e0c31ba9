from edge.exchange cimport Exchange


cdef class Sweep:
    cdef public set active
    cdef object _timer

    cpdef start(self, object loop)


cdef class Deadline:
    cdef Exchange _exchange
    cdef Sweep _sweep
    cdef object _expired, _keep_alive, _loop, _settings
    cdef bytes _latest
    cdef str _awaited, _phase
    cdef double _begin_s, _left_s, _speak_at, _total, _idle_s
    cdef public double when
    cdef public bint heard

    cpdef bint over(self)
    cpdef next_bytes(self)
    cpdef whole(self)
    cpdef taken(self)
    cpdef go_on(self)
    cpdef expire(self)
    cpdef listen(self, double now)
    cpdef start(self)
    cpdef stop(self)
    cpdef close(self)
