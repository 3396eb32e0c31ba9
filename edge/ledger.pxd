# What has become of a request, as compiled modules know it.


cdef class Ledger:
    cdef public object upstream, attempt, usage, cost
    cdef public int attempts
    cdef public list tries
    cdef public bint estimated, rescued
    cdef public double asked_at, content_at, upstream_s, upload_s
    cdef double _counted
    cdef public object cache, stored, error, decision, leader
    cdef public str hedge, kind

    cpdef waited(self, double since)
    cpdef recalled(self, object entry, object tier)
    cpdef shares(self, Ledger flight)
    cpdef accounts_for(self, Ledger flight)
    cpdef str failure(self, int status)
