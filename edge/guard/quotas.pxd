cimport cython

from edge.guard.limit_fields cimport LimitFields
from edge.money.pricing cimport ModelPrice
from edge.money.usage_table cimport Line

cdef long long LONGEST, LATEST


cdef class Quota:
    cdef readonly str scope, name, per
    cdef readonly long long tokens, budget, interval_ns
    cdef readonly unsigned long long tokens_mark
    cdef readonly LimitFields tokens_fields, money_fields
    cdef unsigned long long _fingerprint, _mark
    cdef long long _day, _ends

    cpdef unsigned long long mark(self, long long day) except? 0
    cpdef long long ends(self, long long day) except? -1


@cython.final
cdef class Usual:
    cdef readonly long long output

    cpdef note(self, long long output)


@cython.final
cdef class Quotas:
    cdef readonly tuple all
    cdef readonly ModelPrice price
    cdef readonly bint budgeted, refuses
    cdef readonly long long hold_ms
    cdef readonly str key, tenant, model
    cdef readonly Usual usual
    cdef public Line line
