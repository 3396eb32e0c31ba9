# The decoder of chunked bodies for compiled modules.

cdef enum:
    ODD = -1
    MORE = 0
    DATA = 1
    END = 2

cdef class Chunks:
    # What `read` has found: `data[at:end]` is the next piece of the body, and `end` is where to go on.
    cdef readonly Py_ssize_t at, end
    # The last chunk has been read: no more of the body can come.
    cdef readonly bint complete
    cdef Py_ssize_t _state, _digits, _around
    cdef long long _left

    cpdef object begin(self)
    cpdef int read(self, bytes data, Py_ssize_t i) noexcept
