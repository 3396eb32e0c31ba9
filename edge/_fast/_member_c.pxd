# What the compiled modules know of a member: they reach its fields as those of a C struct.

from edge._fast._quantile_c cimport Quantile


cdef class Member:
    cdef unsigned long long _key
    # Settings.
    cdef Py_ssize_t _limit, _probes
    cdef double _open_s, _max_open_s, _decay_s
    # The breaker, and whether an operator lets nothing through. The state's place in STATES, how many times it has opened, failures in a row, probes in flight, how
    # long it opens next, and the times from which the breaker, and a Retry-After, let requests through.
    cdef Py_ssize_t _state, _generation, _failures, _probing
    cdef double _next_open_s, _ready, _cool
    # How it does: what has been measured (1: time to first content, 2: seconds per token), and when.
    cdef bint _drained
    cdef Py_ssize_t _in_flight, _measured
    cdef double _ttfc, _ttfc_at, _pace, _pace_at, _error_rate
    # How long nearly all take: to first content of a stream, and to the end of an answer that is none.
    cdef Quantile _firsts, _wholes
    # The latest time seen.
    cdef double _latest
    # Where it says that something has changed, and whether it has.
    cdef list _changes
    cdef bint _changed

    cpdef bint allows(self, double now) except -1
    cpdef Attempt begin(self, double now, bint panic=*)
    cpdef object cool_down(self, double until)
    cpdef object took(self, bint stream, double seconds)
    cpdef double late_s(self, bint stream) except? -1
    cdef bint _allows(self, double now) noexcept
    cdef bint _may_try(self, double now) noexcept


cdef class Attempt:
    cdef Member _member
    cdef Py_ssize_t _generation
    cdef double _at
    cdef bint _open, _probe, _content

    cpdef bint first_content(self, double now) except -1
    cpdef bint finished(self, double now, double tokens=*, double seconds=*) except -1
    cpdef bint failed(self, double now) except -1
    cpdef bint neutral(self, double now) except -1
    cpdef bint cancelled(self, double now) except -1
    cpdef object took(self, bint stream, double seconds)
    cdef bint _settle(self, Py_ssize_t outcome, double now) except -1
    cdef object _tell(self, Py_ssize_t event, double now)
