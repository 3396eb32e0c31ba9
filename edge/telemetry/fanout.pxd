cimport cython

from edge.hooks cimport Hooks, Recorder, RequestRecord


@cython.final
cdef class Latest:
    cdef RequestRecord record
    cdef tuple told


cdef class Fanout(Hooks):
    cdef tuple _observers
    cdef dict _kinds, _latest

    @cython.locals(latest=Latest, told=tuple)
    cpdef request_done(self, RequestRecord record)
    cpdef attempt_failed(self, object attempt)


cpdef tell(Recorder recorder, RequestRecord record)
