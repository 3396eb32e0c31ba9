# How replies are put together, for compiled modules.

cimport cython

from edge._fast._line_c cimport Lines as CompiledLines
from edge.cache.flight cimport Flight
from edge.cache.memory cimport Held
from edge.call cimport Call
from edge.guard.limit_fields cimport names_of
from edge.guard.limits cimport Lease
from edge.guard.reservation cimport Reservation
from edge.inquiry cimport Inquiry
from edge.ledger cimport Answered, Ledger, Source, Verdict
from edge.reply cimport Reply
from edge.reply_fields cimport is_stream, lead, lines_of

cdef CompiledLines HEAD
cdef Py_ssize_t STREAM
cdef tuple ATTEMPTS
cdef bytes REQUEST_ID, THEIR_REQUEST_ID, OVERHEAD, COST, ESTIMATED, TIMING, TIMING_OF_STREAM, TIMING_UPSTREAM, AGE, HIT, END
cdef list NOTHING


cdef class ClientCall(Call):
    @cython.locals(told=Reply, asked=bint)
    cpdef answer(self, int status, list headers, bytes body)


@cython.final
cdef class Refusal:
    cdef int status
    cdef bytes lines, body, rest


@cython.locals(prepared=dict, found=Refusal)
cdef Refusal refusal_of(object error, str dialect)
@cython.locals(told=Reply, refusal=Refusal)
cpdef fail(Call call, object error)
cpdef bytes error_event(Inquiry inquiry, object error)
@cython.locals(told=Reply, size=Py_ssize_t)
cdef reply(Call call, int status, bytes lines, list headers, bytes body, bint stream)
cdef bytes streamed(Call call, bytes body)
cpdef serve(Call call, Held held, bytes form, Verdict tier)
@cython.locals(told=Reply)
cpdef start_stored(Call call, Held held, Verdict tier)
cpdef bint serve_flight(Call call, Flight flight) except -1
@cython.locals(
    to=CompiledLines, ledger=Ledger, dialect=str, edge_ms=double, now=double, attempts=int, upstream=Source,
    attempt=Answered, cache=Verdict, dropped=tuple, found=str, pair=tuple,
)
cdef bytes fields_of(Call call, bytes given, list headers, Py_ssize_t size, bint answered=*)
cpdef long long seconds(double span)
@cython.locals(lease=Lease, reservation=Reservation, kinds=int, ours=frozenset, anthropic=bint)
cdef with_limits(Call call, CompiledLines to, str dialect, list headers)
