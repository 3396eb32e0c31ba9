cimport cython

from edge._fast._balancer_c cimport Balancer as Picker
from edge._fast._member_c cimport Attempt as Begun
from edge._fast._member_c cimport Member as Known
from edge.inquiry cimport Inquiry
from edge.terms cimport Granted
from edge.upstreams.likeness cimport prefix_of, size_of
from edge.upstreams.provider cimport Account, Provider
from edge.upstreams.router cimport Upstream
from edge.upstreams.ties cimport leans, targets_of, tie_of

cdef int FREE, NAMES
cdef object BITS


@cython.final
cdef class Group:
    cdef readonly str alias, strategy
    cdef readonly list weights
    cdef readonly tuple upstreams, members, gates
    cdef readonly Picker balancer
    cdef long long _priced
    cdef dict _prices

    cpdef reprice(self, long long size)


@cython.final
cdef class Choice:
    cdef readonly Group group
    cdef readonly str strategy
    cdef readonly tuple members, gates
    cdef readonly unsigned long long mask
    cdef readonly bint heeds
    cdef unsigned long long _barred
    cdef Picker _balancer

    cpdef Py_ssize_t pick(self, double now, unsigned long long tried=*, unsigned long long prefix=*) except -2
    cpdef Py_ssize_t least_bad(self, double now, unsigned long long tried=*) except -2
    @cython.locals(n=int, one=cython.ulonglong, full=cython.ulonglong)
    cpdef unsigned long long full(self) except? 0
    @cython.locals(bits=cython.ulonglong, n=int, upstreams=tuple, upstream=Upstream, provider=Provider)
    cpdef unsigned long long limited(self, double now) except? 0
    @cython.locals(bits=cython.ulonglong, n=int)
    cpdef unsigned long long unsealing(self) except? 0


cdef class Candidates:
    cdef Inquiry _inquiry
    cdef tuple _choices, _waits
    cdef list _asked, _targets
    cdef str _tenant
    cdef readonly str strategy
    cdef readonly bint names, tied
    cdef bint _leans
    cdef readonly int size
    cdef readonly Upstream upstream
    cdef readonly object gate, full
    cdef readonly Account account
    cdef readonly Begun trial

    @cython.locals(grant=Granted, tie=int)
    cpdef begin(self, Inquiry inquiry)
    @cython.locals(choice=Choice, place=Py_ssize_t)
    cpdef bint next(self, double now, bint panic=*) except -1
    cpdef turn_to(self, tuple choices)
    cpdef bint leads(self, tuple choices, double now) except -1
    @cython.locals(choice=Choice, place=Py_ssize_t, member=Known)
    cpdef bint come(self, double now) except -1
    cpdef bint beside(self, double now) except -1
    @cython.locals(choice=Choice, barred=cython.ulonglong)
    cpdef bint continues(self, double now) except -1
    cpdef give_back(self, double now)
    cpdef bint again(self, Upstream upstream, object account, double now) except -1
    @cython.locals(choice=Choice, free=cython.ulonglong, member=Known, n=int)
    cpdef bint left(self, double now) except -1
    @cython.locals(provider=Provider, member=Known)
    cdef bint _begin(self, double now, bint came=*) except -1
    @cython.locals(upstream=Upstream, member=Known)
    cdef bint _take(self, Choice choice, Py_ssize_t place, double now) except -1
    @cython.locals(prefix=cython.ulonglong)
    cdef Py_ssize_t _pick(self, Choice choice, double now, unsigned long long barred) except -2
    cpdef int tie(self) except -2
    cpdef unsigned long long prefix(self) except? 0
    cpdef long long tokens(self) except? -1
    cdef unsigned long long _barred(self, Choice choice) except? 0
    @cython.locals(tried=cython.ulonglong, other=Choice, place=Py_ssize_t, n=int)
    cdef unsigned long long _tried(self, Choice choice) except? 0
