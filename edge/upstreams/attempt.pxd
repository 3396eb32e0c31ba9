cimport cython

from edge._fast._fields_c cimport Fields as CompiledFields
from edge.clock cimport perf_counter
from edge.dialects.crossing cimport Crossing, is_brief, is_short
from edge.hooks cimport Usage
from edge.inquiry cimport Inquiry
from edge.routes cimport Route
from edge.upstreams.clocks cimport Deadline
from edge.upstreams.collected cimport Collected
from edge.upstreams.desk cimport Desk, Outcome
from edge.upstreams.receiver cimport Receiver
from edge.upstreams.relay cimport EventRelay
from edge.upstreams.retry cimport check_status, failure_of, is_for_nobody, is_kept, is_stream, returned_headers
from edge.upstreams.tried cimport Tried

cdef int NEW, HEAD, EXCERPT, COLLECT, JUDGE, HOLD, RELAY, REST, ENDED
cdef bytes MAY_FOLLOW
cdef Py_ssize_t LARGE, STREAM


cdef class Attempt(Receiver):
    cdef Desk _desk
    cdef Inquiry _inquiry
    cdef Deadline _deadline
    cdef Outcome _outcome
    cdef object _wire, _job, _timer, _end
    cdef EventRelay _relay
    cdef Tried _tried
    cdef public int _state
    cdef double _since, _sent_at
    cdef bint _framed, _waits
    cdef CompiledFields _fields
    cdef Collected _collected
    cdef bytearray _ready

    cpdef begin(self, Desk desk, Inquiry inquiry, Deadline deadline, Outcome outcome, Tried tried)
    cpdef start(self)
    cpdef cancel(self, object error=*)
    cpdef split(self)
    cpdef cross(self)
    cpdef send(self)
    @cython.locals(tried=Tried, collected=Collected)
    cpdef head(self, int status, CompiledFields fields, bint framed)
    cdef _take(self, bytes data)
    cdef _ends(self, object end)
    cpdef _take_end(self)
    cdef _check(self, int status, bytes body)
    cpdef _judge(self, bytes body)
    @cython.locals(tried=Tried, crossing=Crossing, route=Route, status=int, usage=Usage, large=bint)
    cdef _decide(self, bytes body, bytes seen)
    cdef _answer(self, int status, bytes body, object failure)
    cdef _commit(self)
    cdef _write(self, bytes data)
    cdef _pass_on(self, bytes data)
    cdef EventRelay _events(self)
    cdef Crossing _crossing(self)
    cdef _waited(self)
    cpdef _go_on(self)
    cpdef _finish_stream(self)
    cpdef _enter(self, int state)
    cdef _pass(self, object failure)
    cpdef fail(self, object error)
    cdef _close(self, object error)
