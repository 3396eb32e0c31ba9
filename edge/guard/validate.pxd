from edge.exchange cimport Exchange
from edge.payload cimport Payload


cdef class Reading:
    cdef readonly bytes body
    cdef readonly object scanner
    cdef bytes _digest

    cpdef bint step(self) except -1
    cpdef bytes digest(self)


cpdef check_body(Exchange exchange, Reading reading)
cpdef Py_ssize_t timeout_ms(Exchange exchange) except -1
cdef bint _includes_usage(bytes body, tuple span) except -1
cdef object _value(bytes body, tuple span)
