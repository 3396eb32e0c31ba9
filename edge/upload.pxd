cimport cython

from edge.clock cimport perf_counter


cdef class Taker:
    cpdef more(self)


@cython.final
cdef class Upload:
    cdef object _call, _buffers, _loop
    cdef readonly Py_ssize_t size, come, waiting
    cdef readonly double moved_at
    cdef readonly bint whole, repeatable
    cdef bytearray _ahead, _taken
    cdef Taker _taker
    cdef bint _waking, _held_back

    @cython.locals(size=Py_ssize_t)
    cpdef add(self, bytes data)
    cpdef end(self)
    cpdef close(self)
    cpdef begin(self, Taker taker)
    @cython.locals(data=bytes, size=Py_ssize_t)
    cpdef bytes take(self)
    cpdef bint taken(self) except -1
    cpdef _tell(self)
    cdef _wake(self)
