cimport cython

from edge._fast._answer_c cimport AnswerReader as CompiledReader
from edge._fast._fields_c cimport Fields as CompiledFields
from edge._fast._fields_c cimport Joiner as CompiledJoiner
from edge._fast._head_c cimport ResponseHead as CompiledHead
from edge.upstreams.receiver cimport Receiver, Transport
from edge.upstreams.request cimport UpstreamRequest
from edge.upload cimport Taker, Upload


cdef CompiledJoiner JOINER
cdef Py_ssize_t JOINED


cdef class Connection


cdef class Sending


cdef class Owner(Transport):
    cpdef give_back(self, Connection connection)
    cpdef forget(self, Connection connection)
    cpdef bytes start_of(self, UpstreamRequest request)
    cpdef stale(self, Sending sending)
    cpdef withdraw(self, Sending sending)


cdef class Connection(Taker):
    cdef readonly object loop, on_header
    cdef Owner _pool
    cdef object _transport, _collector, _parser
    cdef CompiledHead _head
    cdef CompiledReader _reader
    cdef Sending _sending
    cdef Py_ssize_t _unread
    cdef bint _informational, _full
    cdef public bint reused, usable
    cdef public double idle_since

    @cython.locals(request=UpstreamRequest, start=bytes, body=bytes, size=Py_ssize_t)
    cpdef send(self, Sending sending)
    @cython.locals(reader=CompiledReader)
    cdef _look(self, Sending sending)
    cdef _parse(self, bytes data, Sending sending)
    @cython.locals(rest=Upload, fields=bytes, body=bytes)
    cdef _open_upload(self, UpstreamRequest request, bytes start)
    cpdef pause(self)
    cpdef resume(self)
    cpdef abort(self)
    cpdef let_go(self, Sending sending)


@cython.final
cdef class Sending:
    cdef readonly Owner pool
    cdef readonly UpstreamRequest request
    cdef public Receiver receiver
    cdef public Connection connection
    cdef public bint again, whole, untouched, uploaded, has_head, framed, keeps_alive
    cdef public object failure
    cdef public list parts
    cdef int _status
    cdef CompiledFields _fields
    cdef object _inflater
    cdef bint _begun, _paused, _untold

    cpdef begin(self, Owner pool, UpstreamRequest request, Receiver receiver)
    cpdef pause(self)
    cpdef resume(self)
    cpdef cancel(self)
    cdef bint can_be_followed(self) except -1
    @cython.locals(fields=CompiledFields)
    cpdef take_head(self, int status, list headers, bint framed)
    cpdef bint end_of_input(self)
    cpdef break_off(self, object error)
    @cython.locals(receiver=Receiver, parts=list, data=bytes)
    cpdef tell(self)
    cpdef fail(self, object error)
