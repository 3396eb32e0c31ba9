cimport cython

from edge.clock cimport perf_counter
from edge.cache.memory cimport Held
from edge.cache.policy cimport Plan
from edge.call cimport Call
from edge.inquiry cimport Inquiry


@cython.final
cdef class Follower:
    cdef readonly Call call
    cdef public bint whole, ready
    cdef readonly Py_ssize_t position, taken
    cdef Flight _flight
    cdef object _clock, _done
    cdef bint _waits
    cdef double _since

    cpdef write(self, bytes data)
    cpdef wake(self)
    cpdef finish(self)
    cpdef go_on(self)
    cpdef _room(self)
    cdef _land(self, Flight flight)
    cdef _end(self, object error)
    cpdef close(self)


cdef class Flight(Inquiry):
    cdef readonly Plan plan
    cdef public object failure, on_cancel
    cdef public Held held
    cdef public object generation
    cdef public bytes lease
    cdef public bint turns, open
    cdef readonly bint landed
    cdef object _room
    cdef list _followers, _chunks, _times
    cdef tuple _head
    cdef Py_ssize_t _dropped, _size

    cpdef bytes chunk(self, Py_ssize_t position)
    cpdef Follower add(self, Call call, object clock, object done)
    cpdef bint leave(self, Follower follower) except -1
    cpdef cancel(self)
    cdef _start_follower(self, Follower follower)
    cpdef make_room(self)
    cdef _forget(self)
    cpdef land(self)
    cpdef tuple told(self)
    cpdef object entry(self, double ttl_s)


@cython.final
cdef class Flights:
    cdef readonly dict _known

    cpdef Flight find(self, Call call, Plan plan, bint streams=*)
    cdef Flight _open(self, tuple key)
    cpdef add(self, Flight flight)
    cpdef remove(self, Flight flight)
