cimport cython

from edge.hooks cimport Hooks, Recorder, RequestRecord


cdef class Fanout(Hooks):
    cdef tuple _observers
    cdef dict _kinds
    cdef RequestRecord _latest
    cdef tuple _told

    @cython.locals(latest=RequestRecord)
    cpdef request_done(self, RequestRecord record)
    cpdef attempt_failed(self, object attempt)


cpdef tell(Recorder recorder, RequestRecord record)
