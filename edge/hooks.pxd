# The record of a request, and who is told of it, as compiled modules know them.

cdef class RequestRecord:
    cdef public str request_id, endpoint, dialect, provider, model, upstream_model, key_id, tenant
    cdef public int attempts, status
    cdef public bint stream, estimated
    cdef public str outcome, error_code, error_kind, cache, stored_provider, stored_model, asked, alias, peer
    cdef public double duration_s, upstream_s, overhead_s, time_to_first_content_s
    cdef public object usage, warnings, cost

    cpdef tuple kind(self)


cdef class Recorder:
    cpdef done(self, RequestRecord record)
