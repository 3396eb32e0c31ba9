cimport cython

from edge._fast._limits_c cimport Limits as CompiledLimits
from edge._fast._spend_c cimport Spend as CompiledSpend
from edge.guard cimport moments
from edge.guard.decisions cimport Decisions
from edge.guard.quotas cimport Quota, Quotas
from edge.money.usage_table cimport Line, UsageTable

cdef long long DAY_S


cdef class Counts:
    cdef readonly CompiledLimits limits
    cdef readonly CompiledSpend spend
    cdef readonly UsageTable usage
    cdef readonly object machine
    cdef readonly Decisions tokens, budget, redis
    cdef public object shared
    cdef readonly int worker
    cdef public bint limited
    cdef dict _shares
    cdef object _now_ns, _wall

    cpdef heed(self, object settings)
    cpdef bint counts_with_others(self) except -1
    cpdef heard(self, object mark, object budget, object total)
    cpdef object alone(self, object mark, object budget)
    cpdef long long now_ns(self) except? -1
    cpdef double wall(self) except? -1.0
    cpdef long long today(self) except? -1
    cpdef object tokens_left(self, Quota quota)
    @cython.locals(line=Line, today=cython.longlong)
    cpdef book(self, Quotas quotas, long long requests, long long input_tokens, long long output_tokens, long long cost)
