# The reader of answers, for compiled modules.

from edge._fast._chunks_c cimport Chunks
from edge._fast._head_c cimport ResponseHead

cdef class AnswerReader:
    cdef readonly bint headed, whole, odd, keeps_alive
    cdef readonly bytes before, rest
    cdef ResponseHead _head
    cdef Chunks _chunks
    # Of a body in chunks: its head and, once there was a chunk, one; what has come since the last piece of it.
    cdef bytes _start, _around
    # Of a body with a length: bytes that have not come; of one in chunks: whether there was one.
    cdef long long _left
    cdef int _state

    cpdef object begin(self)
    cpdef bint read(self, bytes data, list parts) except -1
    cdef bint _gives_up(self, bytes before, bytes rest) except -1
