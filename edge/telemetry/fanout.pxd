cimport cython

from edge.hooks cimport Recorder, RequestRecord


cdef class Fanout:
    cdef tuple _observers
    cdef dict _kinds
    cdef RequestRecord _latest
    cdef tuple _told

    @cython.locals(latest=RequestRecord)
    cpdef request_done(self, RequestRecord record)


cpdef tell(Recorder recorder, RequestRecord record)
