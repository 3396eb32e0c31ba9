cimport cython

from edge._fast._line_c cimport Lines as CompiledLines
from edge.guard.counts cimport Counts
from edge.guard.decisions cimport Decisions
from edge.guard.limit_fields cimport write_dollars
from edge.guard.quotas cimport Quota, Quotas
from edge.hooks cimport Usage
from edge.inquiry cimport Reserved
from edge.money.pricing cimport ModelPrice

cdef long long SECOND_NS, MOST, AT_MOST, LIMITLESS, DAY_S
cdef int NEW, ASKED, HELD, ENDED, TOKENS, USD, ADMITTED
cdef Quota NO_QUOTA
cdef Usage NO_TOKENS
cdef bytes MAY_FOLLOW


@cython.final
cdef class Part:
    cdef readonly Quota quota
    cdef public long long tokens, until_ns, interval_ns, money
    cdef public unsigned long long mark
    cdef public object taken
    cdef public bint held

    cpdef begin(self, Quota quota)


cdef class Reservation(Reserved):
    cdef Counts _counts
    cdef Quotas _quotas
    cdef int _state, _waiting
    cdef list _parts, _more
    cdef long long _least, _output, _tokens, _cost, _used, _spent
    cdef object _refusal, _told

    cpdef begin(self, Counts counts, Quotas quotas)
    @cython.locals(
        counts=Counts, quotas=Quotas, quota=Quota, part=Part, price=ModelPrice, cost=cython.longlong
    )
    cpdef bint take(self, long long input_tokens, long long output_tokens, object told) except -1
    cpdef cancel(self)
    @cython.locals(extra=Reservation)
    cpdef more(self, object told)
    @cython.locals(counts=Counts, quota=Quota)
    cpdef _answered(self, Part part, object taken, object words)
    @cython.locals(counts=Counts, quota=Quota)
    cdef _hold(self, Part part, object taken)
    cdef _go_alone(self, Part part)
    cdef _refuse(self, object refusal, Decisions decisions, str decision=*)
    @cython.locals(part=Part)
    cdef _decide(self)
    @cython.locals(quota=Quota)
    cdef _count(self, Part part, int machines)
    @cython.locals(
        counts=Counts, quota=Quota, limit=cython.longlong, interval_ns=cython.longlong, wanted=cython.longlong,
        now=cython.longlong, wait_ns=cython.longlong,
    )
    cdef _take_tokens(self, Part part, int machines)
    @cython.locals(counts=Counts, quota=Quota, today=cython.longlong, mark=cython.ulonglong, answer=int)
    cdef _take_money(self, Part part, long long limit)
    @cython.locals(
        counts=Counts, quotas=Quotas, quota=Quota, tokens=cython.longlong, output=cython.longlong, now=cython.longlong,
        today=cython.longlong, spent=cython.longlong,
    )
    cpdef used(self, Usage usage, object cost)
    @cython.locals(part=Part)
    cdef unsigned long long _mark(self, Quota quota, long long today) except? 0
    @cython.locals(part=Part, extra=Reservation)
    cpdef end(self)
    @cython.locals(part=Part)
    cpdef give_back(self)
    @cython.locals(counts=Counts, quota=Quota, more=cython.longlong, now=cython.longlong)
    cdef _settle(self, Part part)
    @cython.locals(part=Part)
    cdef object _taken(self, Quota quota)
    cdef _enter(self, int state)
    @cython.locals(quota=Quota)
    cpdef int kinds(self) except -1
    @cython.locals(
        counts=Counts, quota=Quota, scarcest=Quota, poorest=Quota, today=cython.longlong, now=cython.longlong,
        wall=double, second=cython.longlong, left=cython.longlong, full_ns=cython.longlong, rest=cython.longlong, least_part=double,
        poorest_part=double, part=double, ahead=cython.longlong, each=cython.longlong, mark=cython.ulonglong,
    )
    cpdef write(self, CompiledLines to, bint anthropic)


@cython.locals(reservation=Reservation)
cpdef Reservation reservation_of(Counts counts, Quotas quotas)
@cython.locals(usage=Usage)
cdef Usage bare(long long input_tokens, long long output_tokens)
cpdef long long tokens_of(Usage usage) except? -1
