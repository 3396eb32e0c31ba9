from edge._fast._measure_c cimport Measure


cdef class UsualRequest(Measure):
    # Whether the last part is a call.
    cdef bint _calls

    cpdef bint read(self, bytes body) except -1
    cdef bint _read(self) except -1
    cdef bint _content(self, int depth) except -1
    cdef bint _part(self, int depth) except -1
    cdef bint _kind(self) except -1
