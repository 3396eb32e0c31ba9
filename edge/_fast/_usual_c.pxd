from edge._fast._walk_c cimport Walk


cdef class UsualAnswer(Walk):
    cdef readonly long long input, output, cached, written, reasoning, long, short
    cdef readonly long long audio_input, audio_output, image_input, image_output
    cdef readonly str tier, speed, geo

    cpdef bint read(self, bytes body, int form) except -1
    cdef bint _read(self, int form) except -1
    cdef bint _answers(self, int form) except -1
    cdef bint _answer(self, bytes name, bint text) except -1
    cdef bint _item(self) except -1
    cdef bint _usage(self, int form) except -1
    cdef bint _field(self) except -1
    cdef bint _details(self, int of) except -1
    cdef bint _detail(self, bint of_input) except -1
    cdef bint _message_field(self) except -1
