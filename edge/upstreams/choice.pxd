from edge.upstreams.ties cimport targets_of

cdef int FREE, NAMES
cdef object BITS


cdef class Choice:
    cdef readonly object group
    cdef readonly str strategy
    cdef readonly tuple members, gates
    cdef readonly unsigned long long mask
    cdef unsigned long long _barred
    cdef object _balancer

    cpdef int pick(self, double now, unsigned long long tried=*, unsigned long long prefix=*) except -2
    cpdef int least_bad(self, double now, unsigned long long tried=*) except -2
    cpdef unsigned long long full(self) except? 0


cdef class Candidates:
    cdef object _inquiry, _waits
    cdef tuple _choices
    cdef list _asked, _targets
    cdef str _tenant
    cdef readonly bint names, tied
    cdef readonly int size
    cdef readonly object upstream, account, trial, gate, full

    cpdef bint next(self, double now, bint panic=*) except -1
    cpdef turn_to(self, tuple choices)
    cpdef bint leads(self, tuple choices, double now) except -1
    cpdef bint come(self, double now) except -1
    cpdef bint again(self, object upstream, object account, double now) except -1
    cpdef bint left(self, double now) except -1
    cdef bint _begin(self, double now) except -1
    cdef bint _take(self, Choice choice, int place, double now) except -1
    cdef int _pick(self, Choice choice, double now, unsigned long long barred) except -2
    cdef unsigned long long _barred(self, Choice choice) except? 0
    cdef unsigned long long _tried(self, Choice choice) except? 0
