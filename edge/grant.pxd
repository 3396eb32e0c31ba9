from edge.guard.quotas cimport Quotas


cdef class Grant:
    cdef readonly str alias, label, cache
    cdef readonly tuple choices, context_length, content_policy, upstreams
    cdef readonly bytes identity
    cdef readonly bint alone
    cdef readonly object pii, answers, content
    cdef readonly Quotas quotas

    cpdef object watch(self)
