cdef class Quota:
    cdef readonly str scope, name, per
    cdef readonly long long tokens, budget, interval_ns
    cdef readonly object tokens_mark
    cdef object _fingerprint, _mark
    cdef long long _day, _ends

    cpdef object mark(self, long long day)
    cpdef long long ends(self, long long day) except? -1


cdef class Usual:
    cdef readonly long long output

    cpdef note(self, long long output)


cdef class Quotas:
    cdef readonly tuple all
    cdef readonly object price
    cdef readonly bint budgeted, refuses
    cdef readonly long long hold_ms
    cdef readonly str key, tenant, model
    cdef readonly Usual usual
