cimport cython

from edge.call cimport Call
from edge.clock cimport perf_counter


@cython.final
cdef class Failures:
    cdef public double until


@cython.final
cdef class FailedLogins:
    cdef readonly dict _known
    cdef str _address
    cdef Failures _latest

    cpdef object no_key(self, Call call)
    cpdef object refusal(self, str address, long per_minute, double now)
    @cython.locals(failures=Failures, each_s=double, until=double, wait=double)
    cpdef double failed(self, str address, long per_minute, double now) except? -1.0
    @cython.locals(known=dict)
    cdef Failures _of(self, str group)
