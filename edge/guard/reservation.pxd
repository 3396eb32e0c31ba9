cimport cython

from edge.guard.quotas cimport Quota, Quotas
from edge.hooks cimport Usage


cdef class Counts:
    cdef readonly object limits, spend, usage, count, now_ns, wall
    cdef readonly int worker

    cpdef long long today(self) except? -1
    cpdef book(self, Quotas quotas, object used)


cdef class Part:
    cdef readonly Quota quota
    cdef public long long tokens, until_ns, money
    cdef public object mark


cdef class Reservation:
    cdef Counts _counts
    cdef Quotas _quotas
    cdef int _state
    cdef list _parts
    cdef long long _used

    @cython.locals(quota=Quota, part=Part, taken=Part)
    cpdef take(self, long long input_tokens, long long output_tokens)
    cdef object _take_tokens(self, Part part, long long least, long long tokens)
    cdef object _take_money(self, Part part, long long cost)
    cpdef used(self, Usage usage, object cost)
    cdef object _mark(self, Quota quota, long long today)
    cpdef end(self)
    cdef _settle_tokens(self, Part part, long long used)
    cdef _let_go(self, Part part)
    cdef _enter(self, int state)
    cpdef list headers(self, str dialect)


cpdef long long tokens_of(Usage usage) except? -1
