from edge._fast._walk_c cimport Walk


cdef class UsualAnswer(Walk):
    cdef readonly str tier, speed, geo
    cdef list _known
    cdef int _walks

    cpdef long long count(self, int place) noexcept
    cpdef bint read(self, bytes body, int form) except -1
    cdef bint _is_known(self, bytes body, list known) except -1
    cdef object _keep(self, list known)
    cdef bint _read(self, int form) except -1
    cdef bint _answers(self, int form) except -1
    cdef bint _answer(self, bytes name, bint text) except -1
    cdef bint _item(self) except -1
    cdef bint _usage(self, int form) except -1
    cdef bint _field(self) except -1
    cdef bint _details(self, int of) except -1
    cdef bint _detail(self, bint of_input) except -1
    cdef bint _message_field(self) except -1
