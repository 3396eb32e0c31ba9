from edge.hooks cimport Recorder, RequestRecord


cdef class Fanout:
    cdef tuple _observers
    cdef object _kinds

    cpdef request_done(self, RequestRecord record)


cpdef tell(Recorder recorder, RequestRecord record)
