# What an inquiry is served by, as compiled modules know it.

from edge.trace_context cimport Sampling


cdef class Granted:
    cdef readonly str alias, label
    cdef readonly tuple choices, context_length, content_policy, upstreams
    cdef readonly bint alone
    cdef readonly int seals

    cpdef object watch(self)


cdef class Terms:
    cdef readonly object settings, nobody, resilience
    cdef readonly Granted nothing
    cdef readonly dict models
    cdef readonly Sampling sampling
    cdef readonly str replay
    cdef readonly bint keeps
    cdef readonly bint caches, hedges, rescues
    cdef readonly double route_sample
    cdef readonly Py_ssize_t max_in_flight, max_body_bytes, max_form_bytes, max_buffered_bytes, few
