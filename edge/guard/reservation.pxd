cimport cython

from edge.guard.counts cimport Counts
from edge.guard.quotas cimport Quota, Quotas
from edge.hooks cimport Usage


cdef class Part:
    cdef readonly Quota quota
    cdef public long long tokens, until_ns, interval_ns, money
    cdef public object mark, taken
    cdef public bint held


cdef class Reservation:
    cdef Counts _counts
    cdef Quotas _quotas
    cdef int _state, _waiting
    cdef list _parts, _more
    cdef long long _least, _output, _tokens, _cost, _used, _spent
    cdef object _refusal, _told

    @cython.locals(counts=Counts, quotas=Quotas, quota=Quota, part=Part)
    cpdef bint take(self, long long input_tokens, long long output_tokens, object told) except -1
    cpdef cancel(self)
    @cython.locals(extra=Reservation)
    cpdef more(self, object told)
    @cython.locals(counts=Counts, quota=Quota)
    cpdef _answered(self, Part part, object taken, object words)
    @cython.locals(counts=Counts, quota=Quota)
    cdef _hold(self, Part part, object taken)
    cdef _go_alone(self, Part part)
    cdef _refuse(self, object refusal, str limit, str decision=*)
    @cython.locals(part=Part)
    cdef _decide(self)
    @cython.locals(quota=Quota)
    cdef _count(self, Part part, int machines)
    @cython.locals(counts=Counts, quota=Quota)
    cdef _take_tokens(self, Part part, int machines)
    @cython.locals(counts=Counts, quota=Quota)
    cdef _take_money(self, Part part, object limit)
    @cython.locals(counts=Counts, quotas=Quotas, quota=Quota)
    cpdef used(self, Usage usage, object cost)
    @cython.locals(part=Part)
    cdef object _mark(self, Quota quota, long long today)
    @cython.locals(part=Part, extra=Reservation)
    cpdef end(self)
    @cython.locals(part=Part)
    cpdef give_back(self)
    @cython.locals(counts=Counts, quota=Quota)
    cdef _settle(self, Part part)
    @cython.locals(part=Part)
    cdef object _taken(self, Quota quota)
    cdef _enter(self, int state)
    cpdef list headers(self, str dialect)


cpdef long long tokens_of(Usage usage) except? -1
