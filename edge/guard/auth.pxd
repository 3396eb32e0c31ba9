from edge.guard.key_table cimport KeyTable
from edge.head cimport Head


cdef class Auth:
    cdef readonly bint open, loopback_only, several
    cdef KeyTable _table
    cdef public dict _known
    cdef object _said, _clock
    cdef readonly long failures_per_minute
    cdef readonly object tokens

    cpdef object key_of(self, bytes digest)
    cpdef object identify(self, Head head, dict varying, tuple certificate)
    cdef object _certified(self, tuple certificate)
    cdef object _said_by(self, Head head, dict varying)
    cdef object _find(self, bytes token)
    cdef bint _holds(self, object key) except? -1
    cpdef check_open(self, Head head)


cdef bytes bearer(bytes said)
