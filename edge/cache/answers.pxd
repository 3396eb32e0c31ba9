cimport cython

from edge.cache.flight cimport Flight, Flights
from edge.cache.key cimport Keys, decode_body
from edge.cache.memory cimport Generation, Held, MemoryCache
from edge.cache.policy cimport Lookup, Plan, caches_for, plan_for
from edge.cache.recent cimport Recent
from edge.call cimport Call
from edge.guard.auth cimport Key
from edge.head cimport Head
from edge.payload cimport Payload


@cython.final
cdef class Answers:
    cdef object _settings, _meter, _log, _client, _redis, _changing
    cdef public object _remote, shares
    cdef public Recent _plans
    cdef Keys _keys
    cdef readonly Generation _generation
    cdef readonly MemoryCache memory
    cdef readonly Flights flights
    cdef readonly dict _questions

    @cython.locals(head=Head, key=Key, plan=Plan)
    cpdef bint knows(self, Call call, bytes body) except -1
    @cython.locals(head=Head, key=Key, body=bytes, known=bytes, size=Py_ssize_t)
    cpdef tuple exact(self, Call call)
    @cython.locals(lookup=Lookup, known=Plan, plan=Plan)
    cpdef Plan plan(self, Call call, str mode, bytes identity)
    cpdef tuple recall(self, Plan plan, Payload payload)
    cpdef keep(self, Flight flight)
    cpdef let_go(self, Flight flight)
    cpdef Flight new_flight(self, Flight flight)
