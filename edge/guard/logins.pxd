cimport cython

from edge.call cimport Call
from edge.clock cimport perf_counter


cdef class FailedLogins:
    cdef readonly dict _until

    cpdef object no_key(self, Call call)
    cpdef object refusal(self, str address, long per_minute, double now)
    @cython.locals(known=dict, until=double, wait=double)
    cpdef double failed(self, str address, long per_minute, double now) except? -1.0
