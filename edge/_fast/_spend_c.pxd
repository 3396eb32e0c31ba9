# Money, for compiled modules.

cdef class Spend:
    cdef object _raw, _words, _lock
    cdef Py_ssize_t _mask, _cells, _regions, _workers
    cdef long long *_first

    cpdef int reserve(
        self, Py_ssize_t worker, unsigned long long mark, long long amount, long long limit, long long today
    ) except -1
    cpdef release(self, Py_ssize_t worker, unsigned long long mark, long long amount)
    cpdef bint add(self, unsigned long long mark, long long amount, long long today) except -1
    cpdef long long spent(self, unsigned long long mark)
    cpdef long long held(self, unsigned long long mark)
    cdef long long _spent(self, long long mark)
    cdef long long _held(self, long long mark)
    cdef Py_ssize_t _cell(self, long long mark, long long today)
    cdef Py_ssize_t _place(self, Py_ssize_t region, long long mark)
    cdef Py_ssize_t _seek(self, Py_ssize_t first, long long mark)
    cdef Py_ssize_t _region(self, Py_ssize_t worker)
    cdef long long _load(self, Py_ssize_t word)
    cdef object _store(self, Py_ssize_t word, long long value)
    cdef bint _count(self)
    cdef bint _swap(
        self, Py_ssize_t at, long long mark, long long amount, long long new_mark, long long new_amount
    )
    cdef bint _alone(self, bint begin)
