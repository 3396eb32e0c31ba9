from edge._fast._skeleton_c cimport Skeleton


cdef class Walk:
    cdef bytes _body
    cdef const unsigned char *_data
    cdef Py_ssize_t _size, _at, _key_at, _key_end
    # Bits of what has been seen; the last word.
    cdef int _seen
    cdef str _said
    # By `answer_forms.PLACES`, and `MOST_GAPS`.
    cdef long long counts[12]
    cdef int _gaps
    cdef Py_ssize_t _starts[128]
    cdef Py_ssize_t _ends[128]
    cdef int _kinds[128]

    cdef object _begin(self, bytes body)
    cdef object _end(self)
    cdef int _more(self, int end) except -2
    cdef int _next(self) except -2
    cdef bint _key(self) except -1
    cdef bint _gap(self, Py_ssize_t start, Py_ssize_t end, int kind) noexcept
    cdef Skeleton _skeleton(self)
    cdef bint _first(self, int bit) except -1
    cdef bint _literal(self, bytes word) except -1
    cdef bint _null(self) except -1
    cdef bint _count(self, int place) except -1
    cdef bint _word(self) except -1
    cdef bint _skip(self) except -1
    cdef Py_ssize_t _string_end(self, Py_ssize_t start) except -2
    cdef Py_ssize_t _after_key(self, Py_ssize_t i) except -2
    cdef bint _scalar(self, int c) except -1
    cdef bint _number(self) except -1
    cdef int _peek(self) except -2
    cdef Py_ssize_t _digits(self) except -1
