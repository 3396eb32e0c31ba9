cimport cython

from edge.clock cimport perf_counter
from edge.cache.answers cimport Answers
from edge.cache.flight cimport Flight, Follower
from edge.cache.memory cimport Held
from edge.cache.policy cimport Plan
from edge.call cimport Call
from edge.inquiry cimport Asker, Inquiry
from edge.money.accounting cimport Accounts
from edge.upstreams.clocks cimport Deadline, Timed
from edge.upstreams.desk cimport Desk


@cython.final
cdef class Table:
    cdef readonly Answers answers
    cdef readonly Accounts accounts
    cdef readonly Desk desk


cdef class Joining(Timed):
    cdef Table _table
    cdef Call _call
    cdef Plan _plan
    cdef Held _held
    cdef Deadline _deadline
    cdef Flight _flight
    cdef Follower _follower
    cdef Asker _asker
    cdef object _look, _paced
    cdef double _since
    cdef bint _streams

    cpdef start(self)
    cpdef cancel(self)
    cpdef expired(self, Deadline deadline, object error)
    cdef Flight _find(self)
    cpdef _looked(self, object held, object trouble)
    cdef _join(self, Flight flight)
    cdef _go_without(self, bint turns)
    cdef _follow(self, Flight flight)
    cpdef _landed(self, object failure)
    cdef _leave(self, object cause)
    cpdef _finish(self, object error)
    cdef _end(self)


cdef class Flying(Asker):
    cdef Table _table
    cdef Flight _flight
    cdef object _dispatch, _turns

    cpdef start(self)
    cpdef _turned(self)
    cpdef fetched(self, Inquiry inquiry, object error)
    cpdef _cancel(self)
    cdef _land(self, object failure)
    cdef _lose(self, object failure)
