cimport cython

from edge.gateway cimport Gateway
from edge.head cimport Head
from edge.replies cimport ClientCall
from edge.server.heads cimport Heads
from edge.server.protocol cimport EdgeProtocol
from edge.state cimport State


cdef class Starts:
    cdef object _headers
    cdef dict _known

    cpdef bytes of(self, list headers, int status, bytes framing)


cdef class Lane(EdgeProtocol):
    cdef public object edge
    cdef readonly Gateway gateway
    cdef public str peer
    cdef public Head known
    cdef bint _scanned

    @cython.locals(heads=Heads, known=Head)
    cpdef object begun_turn(self, bytes data)
    @cython.locals(call=LaneCall)
    cdef _serve(self, object turn, bytes body)


cdef class LaneCall(ClientCall):
    cdef readonly Lane lane
    cdef readonly object declared
    cdef public bint chunks, complete
    cdef object _parts
    cdef public object room
    cdef public Py_ssize_t received
    cdef bint _begun, _chunked
    cdef bytes _start, _lines, _own
    cdef Py_ssize_t _size

    @cython.locals(state=State, limit=Py_ssize_t)
    cpdef begin(self)
    cpdef take(self, bytes data)
    @cython.locals(state=State)
    cdef bint _fits(self, Py_ssize_t more) except -1
    cpdef whole(self)
    cpdef lost(self)
    cdef _admit(self)
    @cython.locals(starts=Starts)
    cpdef start(self, int status, bytes lines, object size)
