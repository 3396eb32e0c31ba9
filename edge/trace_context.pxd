# A request's place in a trace, as compiled modules know it.


cimport cython

@cython.final
cdef class Sampling:
    cdef str _bound

    cpdef bint takes(self, str trace_id) except -1


@cython.final
cdef class TraceContext:
    cdef readonly str trace_id, parent_id, flags
    cdef readonly bint sampled
    cdef readonly bytes state
    cdef str _span_id

    cpdef str span_id(self)
    cpdef bytes line(self, str span)


cpdef str span_id()
cpdef TraceContext given(bytes traceparent, bytes tracestate)
cpdef TraceContext fresh(str trace_id, Sampling sampling)
