from edge.cache.flight cimport Flight, Flights
from edge.cache.key cimport Keys, decode_body
from edge.cache.memory cimport Generation, Held, MemoryCache
from edge.cache.policy cimport Plan, plan_for
from edge.call cimport Call
from edge.payload cimport Payload


cdef class Answers:
    cdef object _settings, _meter, _log, _client, _redis, _changing
    cdef public object _remote, _plans, shares
    cdef Keys _keys
    cdef readonly Generation _generation
    cdef readonly MemoryCache memory
    cdef readonly Flights flights
    cdef readonly dict _questions

    cpdef tuple exact(self, Call call)
    cpdef Plan plan(self, Call call, str mode, bytes identity)
    cpdef tuple recall(self, Plan plan, Payload payload)
    cpdef keep(self, Flight flight)
    cpdef let_go(self, Flight flight)
    cpdef Flight new_flight(self, Flight flight)
