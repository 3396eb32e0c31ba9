# The record of a request, and who is told of it, as compiled modules know them.

cimport cython


@cython.final
cdef class Usage:
    cdef readonly long long input, output, cache_read, cache_write, reasoning, cache_write_long
    cdef readonly long long audio_input, audio_output, image_input, image_output, web_searches
    cdef readonly str service_tier, speed, geo
    cdef readonly tuple parts

    cpdef tuple _all(self)
    cpdef tuple counts(self)
    @cython.locals(bare=Usage)
    cpdef Usage bare(self)
    cpdef Usage told(self, long long input, long long output)
    cpdef Usage merged(self, Usage newer)
    cpdef Usage plus(self, Usage other)
    @cython.locals(whole=Usage)
    cpdef Usage settled(self)


cdef long long latest(long long older, long long newer)
cdef long long total(long long one, long long other)


@cython.final
cdef class RequestRecord:
    cdef public str request_id, endpoint, dialect, provider, model, upstream_model, key_id, tenant
    cdef public int attempts, status
    cdef public Py_ssize_t request_bytes, response_bytes
    cdef public bint stream, estimated, rescued
    cdef public str outcome, error_code, error_kind, cache, stored_provider, stored_model, asked, alias, peer, pii, hedge
    cdef public str trace_id
    cdef public double duration_s, upstream_s, overhead_s, time_to_first_content_s
    cdef public Usage usage
    cdef public bytes route, attributes
    cdef public tuple tried
    cdef public object warnings, cost

    cpdef tuple kind(self)
    cpdef bint alike(self, RequestRecord other) except -1


cdef class Recorder:
    cpdef done(self, RequestRecord record)


cdef class Hooks:
    cpdef request_done(self, RequestRecord record)
    cpdef attempt_failed(self, object attempt)
