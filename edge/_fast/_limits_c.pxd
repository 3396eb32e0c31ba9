# Rates and concurrency, for compiled modules.

cdef class Limits:
    cdef object _raw, _words, _lock
    cdef Py_ssize_t _mask, _regions, _workers
    cdef long long *_first

    cpdef long long take(
        self, unsigned long long key, long long interval_ns, long long burst, long long cost, long long now_ns
    )
    cpdef settle(self, unsigned long long key, long long interval_ns, long long more, long long now_ns)
    cpdef long long ahead(self, unsigned long long key, long long now_ns)
    cpdef long long left(self, long long interval_ns, long long burst, long long ahead_ns)
    cpdef acquire(self, Py_ssize_t worker, unsigned long long key, long long limit)
    cpdef release(self, Py_ssize_t worker, unsigned long long key)
    cdef long long _take(
        self, long long key, long long interval, long long burst, long long cost, long long now
    )
    cdef Py_ssize_t _find(self, long long key, long long now)
    cdef bint _claim(self, Py_ssize_t at, long long key, long long tat, long long now)
    cdef bint _merge(self, long long key, long long now)
    cdef object _move(self, long long key, long long amount, long long now)
    cdef long long _ahead(self, long long key, long long now)
    cdef long long _held(self, long long key)
    cdef Py_ssize_t _place(self, Py_ssize_t region, long long key)
    cdef Py_ssize_t _seek(self, Py_ssize_t first, long long key)
    cdef Py_ssize_t _region(self, Py_ssize_t worker)
    cdef long long _load(self, Py_ssize_t word)
    cdef object _store(self, Py_ssize_t word, long long value)
    cdef bint _count(self, Py_ssize_t word)
    cdef bint _swap(self, Py_ssize_t at, long long key, long long tat, long long new_key, long long new_tat)
    cdef bint _alone(self, bint begin)
