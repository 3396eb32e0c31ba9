from edge.guard.quotas cimport Quota, Quotas


cdef class Counts:
    cdef readonly object limits, spend, usage, count, now_ns, wall, machine
    cdef public object shared
    cdef readonly int worker
    cdef public bint limited
    cdef dict _shares

    cpdef heed(self, object settings)
    cpdef bint counts_with_others(self) except -1
    cpdef heard(self, object mark, object budget, object total)
    cpdef object alone(self, object mark, object budget)
    cpdef long long today(self) except? -1
    cpdef object tokens_left(self, Quota quota)
    cpdef book(self, Quotas quotas, object used)
