cimport cython

from edge.digests cimport digest_of
from edge.guard.key_table cimport KeyTable
from edge.head cimport Head


@cython.final
cdef class Key:
    cdef readonly str id, tenant, rights
    cdef readonly tuple models
    cdef readonly object requests_per_minute, concurrency, cache, pii, tokens_per_minute, budget
    cdef readonly long long priority
    cdef readonly frozenset routes
    cdef readonly double begins, ends
    cdef readonly bint admin, limited, timed


@cython.final
cdef class Auth:
    cdef readonly bint open, loopback_only, several
    cdef KeyTable _table
    cdef public dict _known
    cdef dict _said
    cdef readonly dict strangers
    cdef object _clock
    cdef readonly long failures_per_minute
    cdef readonly object tokens

    cpdef Key key_of(self, bytes digest)
    cpdef Key identify(self, Head head, dict varying, tuple certificate)
    cdef Key _certified(self, tuple certificate)
    @cython.locals(known=Key, key=Key, other=Key, token=bytes, alone=bint)
    cdef Key _said_by(self, Head head, dict varying)
    cdef Key _presented(self, bytes token)
    cdef Key _valid(self, Key key, bytes token)
    cdef bint _holds(self, Key key) except? -1
    cpdef check_open(self, Head head)


cdef bytes bearer(bytes said)
