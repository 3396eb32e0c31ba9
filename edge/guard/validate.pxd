from edge._fast._json_c cimport JSONScanner as Scan
from edge.call cimport Call
from edge.payload cimport Payload


cdef class Reading:
    cdef readonly bytes body
    cdef readonly Scan scan
    cdef readonly bytes digest

    cpdef bint step(self) except? -1


cpdef check_body(Call call, Reading reading)
cdef str _odd_model(Call call, Reading reading)
cpdef Py_ssize_t timeout_ms(Call call) except? -1
cdef bint _includes_usage(bytes body, tuple span) except? -1
cdef object _value(bytes body, tuple span)
