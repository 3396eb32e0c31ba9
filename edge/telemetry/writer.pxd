# What request lines are written into, for compiled modules.

cimport cython

from edge._fast._line_c cimport Lines as CompiledLines


@cython.final
cdef class LineWriter:
    cdef object __weakref__
    cdef readonly CompiledLines lines
    cdef object _out, _tell, _queue, _wake, _thread
    cdef Py_ssize_t _told, _refused, _lost, _handed, _taken, _written, _piece
    cdef bint _stopping
    cdef object _owner, _process

    cpdef put(self, bytes line)
    @cython.locals(most=Py_ssize_t)
    cpdef bint full(self) except -1
    cpdef ended(self)
