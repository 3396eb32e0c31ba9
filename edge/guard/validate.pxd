cimport cython

from edge._fast._json_c cimport JSONScanner as Scan
from edge.call cimport Call
from edge.guard.shape cimport check_types
from edge.payload cimport Payload
from edge.routes cimport Route
from edge.terms cimport Terms



cdef class Reading:
    cdef readonly bytes body
    cdef Scan _scan
    cdef readonly bytes digest

    cpdef begin(self, bytes body)
    @cython.locals(scan=Scan)
    cpdef Scan scan(self)
    cpdef bint step(self) except? -1


@cython.locals(reading=Reading)
cpdef Reading reading_of(bytes body)
@cython.locals(
    deadline_ms=Py_ssize_t, scan=Scan, body=bytes, route=Route, state=Terms, model=str, stream=bint, include_usage=bint, payload=Payload
)
cpdef check_body(Call call, Reading reading)
cdef str _odd_model(Call call, Reading reading)
cpdef check_name(str model, str kind)
@cython.locals(character=cython.Py_UCS4)
cdef bint is_printable(str name) except -1
cpdef Py_ssize_t timeout_ms(Call call) except? -1
cdef bint _includes_usage(bytes body, tuple span) except? -1
cdef object _value(bytes body, tuple span)
