cdef class Balancer:
    cdef list _members
    cdef Py_ssize_t _size, _strategy
    cdef double _weights[64]
    cdef double _prices[64]
    cdef double _turns[64]
    cdef double _load_factor, _slack
    cdef unsigned long long _dice
    cdef Py_ssize_t _since_trial

    cpdef Py_ssize_t pick(self, double now, unsigned long long prefix_hash=*, unsigned long long exclude=*) except -2
    cpdef Py_ssize_t least_bad(self, double now, unsigned long long exclude=*) except -2
    cdef unsigned long long _eligible(self, double now, unsigned long long exclude) noexcept
    cdef unsigned long long _roll(self) noexcept
    cdef Py_ssize_t _by_turns(self, unsigned long long mask) noexcept
    cdef Py_ssize_t _by_latency(self, unsigned long long mask, double now) except -2
    cdef Py_ssize_t _least_busy(self, unsigned long long mask, bint by_price) except -2
    cdef Py_ssize_t _by_affinity(self, unsigned long long mask, unsigned long long prefix_hash) except -2
