cimport cython

from edge.clock cimport perf_counter
from edge.upstreams.connection cimport Connection, Owner, Sending
from edge.upstreams.receiver cimport Receiver
from edge.upstreams.request cimport UpstreamRequest
from edge.upload cimport Upload


cdef class Pool(Owner):
    cdef readonly object _origin
    cdef object _sweep
    cdef double _connect_s
    cdef Py_ssize_t _max
    cdef public Py_ssize_t _opening
    cdef bytes _authority
    cdef dict _starts
    cdef bint _keeps
    cdef public list _idle
    cdef public set _all
    cdef public dict _waiting, _connecting

    @cython.locals(sending=Sending, connection=Connection)
    cpdef object send(self, UpstreamRequest request, Receiver receiver)
    @cython.locals(posts=bint, start=bytes, rest=Upload)
    cpdef bytes start_of(self, UpstreamRequest request)
    @cython.locals(request=UpstreamRequest)
    cpdef stale(self, Sending sending)
    cpdef withdraw(self, Sending sending)
    cpdef connections(self)
    cpdef retire(self)
    @cython.locals(connection=Connection)
    cdef Connection _take_idle(self)
    cdef _open_or_wait(self, Sending sending)
    cpdef give_back(self, Connection connection)
    cpdef forget(self, Connection connection)
    cdef _offer_place(self)
    @cython.locals(sending=Sending)
    cdef bint _hand_over(self, Connection connection) except -1
    cdef Sending _first_in_line(self)
    cdef _open(self, Sending sending)
