# A head that came before, for compiled modules.

from edge._fast._head_c cimport RequestHead

cdef enum:
    MOST_HOLES = 24

cdef class KnownHead:
    # The head that it was made of, and where the pieces between its holes end; the first begins at 0.
    cdef readonly bytes head
    cdef const unsigned char *_text
    cdef int _piece_at[25]
    cdef int _piece_end[25]
    # Its fields, the first value of each name, and which field each hole is the value of.
    cdef list _fields
    cdef dict _index
    cdef int _field[24]
    cdef readonly Py_ssize_t holes
    cdef Py_ssize_t _sized
    cdef object _pattern
    # What the last head that fitted has in the holes.
    cdef bytes _data
    cdef int hole_at[24]
    cdef int hole_end[24]
    cdef readonly long long content_length

    cpdef Py_ssize_t match(self, bytes data, Py_ssize_t start=*) noexcept
    cpdef tuple take(self)
