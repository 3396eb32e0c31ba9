from edge.guard.quotas cimport Quotas
from edge.terms cimport Granted


cdef class Grant(Granted):
    cdef readonly str cache
    cdef readonly bytes identity
    cdef readonly object pii, answers, content
    cdef readonly Quotas quotas
