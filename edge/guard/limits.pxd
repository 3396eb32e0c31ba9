cimport cython

from edge._fast._limits_c cimport Limits as CompiledLimits
from edge._fast._line_c cimport Lines as CompiledLines
from edge.guard.auth cimport Key
from edge.guard.decisions cimport Decisions
from edge.guard.limit_fields cimport LimitFields
from edge.guard.moments cimport monotonic_ns, wall
from edge.memo cimport keep

cdef long long SECOND_NS


cdef long long bound(object setting) except? -2


@cython.final
cdef class Marks:
    cdef readonly unsigned long long requests, concurrency
    cdef readonly long long interval_ns, limit, at_a_time
    cdef readonly LimitFields fields


@cython.final
cdef class KeyLimits:
    cdef readonly CompiledLimits table
    cdef readonly int worker
    cdef readonly Decisions concurrency, requests
    cdef dict _marks, _fields
    cdef Key _key
    cdef Marks _latest

    @cython.locals(lease=Lease)
    cpdef Lease lease(self, Key key)
    @cython.locals(marks=Marks)
    cdef Marks _marks_of(self, Key key)
    cdef LimitFields _fields_of(self, object limit)


@cython.final
cdef class Lease:
    cdef KeyLimits _limits
    cdef Key _key
    cdef Marks _marks
    cdef bint _occupies

    cpdef begin(self, KeyLimits limits, Key key, Marks marks)
    @cython.locals(limits=KeyLimits, marks=Marks)
    cpdef take(self)
    @cython.locals(limits=KeyLimits, marks=Marks, wait_ns=cython.longlong)
    cpdef again(self)
    cpdef end(self)
    cpdef int kinds(self) except -1
    @cython.locals(marks=Marks, table=CompiledLimits, ahead_ns=cython.longlong)
    cpdef write(self, CompiledLines to, bint anthropic)
