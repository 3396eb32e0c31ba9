from edge._fast._measure_c cimport Measure


cdef class UsualMessages(Measure):
    cdef readonly str model
    # Whether the last text began with a line that is not shown.
    cdef bint _dropped

    cpdef bint read(self, bytes body) except -1
    cdef bint _read(self) except -1
    cdef bint _messages(self) except -1
    cdef bint _system(self) except -1
    cdef bint _blocks(self, int depth, bint leads) except -1
    cdef bint _block(self, int depth, bint leads) except -1
    cdef long long _bytes(self, bint leads) except -2
    cdef int _measure_rest(self) except -2
    cdef bint _thinking(self) except -1
    cdef bint _text(self) except -1
