cimport cython

from edge._fast._fields_c cimport Joiner as CompiledJoiner
from edge.clock cimport perf_counter
from edge._fast._head_known_c cimport KnownHead as CompiledHead
from edge.gateway cimport Gateway
from edge.head cimport Head
from edge.replies cimport ClientCall
from edge.server.heads cimport Heads
from edge.server.protocol cimport EdgeProtocol
from edge.terms cimport Terms


cdef CompiledJoiner JOINER
cdef Py_ssize_t JOINED, STREAM


@cython.final
cdef class Starts:
    cdef object _headers
    cdef dict _known
    cdef int _status
    cdef bytes _framing, _latest

    cpdef bytes of(self, list headers, int status, bytes framing)


cdef class Lane(EdgeProtocol):
    cdef public object edge
    cdef readonly Gateway gateway
    cdef public str peer
    cdef public Head known
    cdef bint _scanned

    @cython.locals(heads=Heads, known=Head, form=CompiledHead, call=LaneCall)
    cpdef object begun_turn(self, bytes data)
    @cython.locals(call=LaneCall)
    cdef _serve(self, object turn, bytes body)


cdef class LaneCall(ClientCall):
    cdef readonly Lane lane
    cdef public bint chunks, complete
    cdef object _parts
    cdef public object room
    cdef public Py_ssize_t received
    cdef bint _begun, _chunked
    cdef bytes _start, _lines, _own
    cdef Py_ssize_t _size

    cpdef enter(self, Lane lane, Head head, dict varying, object declared)
    cpdef waited(self)
    @cython.locals(gateway=Gateway, state=Terms, limit=Py_ssize_t)
    cpdef begin(self)
    cpdef take(self, bytes data)
    @cython.locals(gateway=Gateway, state=Terms)
    cdef bint _fits(self, Py_ssize_t more) except -1
    cpdef whole(self)
    cdef _uploaded(self)
    @cython.locals(data=bytes)
    cdef _go_along(self, object form)
    cdef object _along(self)
    cdef bytes _whole_body(self)
    cpdef lost(self)
    @cython.locals(gateway=Gateway)
    cdef _admit(self)
    cpdef hold_back(self, bint back)
    cpdef over(self, object error)
    @cython.locals(starts=Starts, lane=Lane)
    cpdef start(self, int status, bytes lines, Py_ssize_t size)
