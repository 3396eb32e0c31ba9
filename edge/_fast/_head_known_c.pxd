# A head that came before, for compiled modules.

from edge._fast._head_c cimport RequestHead

cdef enum:
    MOST_HOLES = 32

cdef class KnownHead:
    # The pieces between the holes, with a zero between them, and where each begins and ends there.
    cdef readonly bytes key
    cdef const unsigned char *_text
    cdef int _piece_at[33]
    cdef int _piece_end[33]
    # Whose value each hole is, and whether it is asked for.
    cdef list _names
    cdef bint _asked[32]
    cdef readonly Py_ssize_t holes
    cdef Py_ssize_t _sized
    cdef object _pattern
    # What the last head that fitted has in the holes.
    cdef bytes _data
    cdef int hole_at[32]
    cdef int hole_end[32]
    cdef readonly long long content_length

    cpdef Py_ssize_t match(self, bytes data, Py_ssize_t start=*) noexcept
    cpdef dict take(self)
