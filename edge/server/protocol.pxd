cimport cython

from edge.server.turns cimport Turns


cdef Py_ssize_t LARGE, MAX_HEAD, MAX_PIPELINED, MAX_REQUESTS, MAX_UNREAD, REQUEST_LINE


cdef class EdgeProtocol(Turns):
    cdef readonly object config, app, app_state, on_header
    cdef public object parser
    cdef object _collector
    cdef public bytes url, method
    cdef public list headers
    cdef Py_ssize_t _missing, _segment, _fed, _before_head, _at, _size, _asked
    cdef bytes _good_host
    cdef object _wish, _wishes, _socket
    cdef bint _begins

    # Of pieces of C's own bytes no objects of slices are made.
    @cython.locals(at=Py_ssize_t, size=Py_ssize_t, end=Py_ssize_t, come=Py_ssize_t, text="const char *")
    cdef bytes _begin(self, bytes data)
    cdef _count(self, object turn)
    cdef _serve(self, object turn, bytes body)
    cdef bytes _go_on(self, bytes data)
    cdef _parse(self, object data)
    cdef _take_parser(self)
    cdef _read_again(self)
    cpdef on_body(self, bytes body)
    cpdef on_message_complete(self)
    cpdef object begun_turn(self, bytes data)
    cpdef bint speaks_websocket(self) except -1
    cpdef object socket_for(self, object wish, list headers)
    cpdef object turn_for(self, dict index, str version, bint keeps_alive)
