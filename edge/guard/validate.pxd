cimport cython

from edge._fast._body_known_c cimport KnownBodies as CompiledBodies, KnownBody as CompiledBody
from edge._fast._json_c cimport JSONScanner as Scanner
from edge._fast._json_scanned_c cimport Scanned as Scan
from edge.call cimport Call
from edge.guard.shape cimport check_types
from edge.payload cimport Payload
from edge.routes cimport Route
from edge.terms cimport Terms


cdef Py_ssize_t LARGE


cdef class Reading:
    cdef readonly bytes body
    cdef Scanner _scan
    cdef readonly bytes digest

    cpdef begin(self, bytes body)
    @cython.locals(scan=Scanner)
    cpdef Scanner scan(self)
    cpdef bint step(self) except? -1


@cython.locals(reading=Reading)
cpdef Reading reading_of(bytes body)
@cython.locals(
    deadline_ms=Py_ssize_t, scan=Scan, body=bytes, route=Route, known=CompiledBody, bodies=CompiledBodies, stream=bint, include_usage=bint
)
cpdef check_body(Call call, Reading reading)
@cython.locals(state=Terms, payload=Payload, model=str)
cdef str _enter(
    Call call, Reading reading, Scan scan, str model, bint stream, bint include_usage, Py_ssize_t deadline_ms
)
cdef str _odd_model(Call call, bytes body, Scan scan)
cpdef check_name(str model, str kind)
@cython.locals(character=cython.Py_UCS4)
cdef bint is_printable(str name) except -1
cpdef Py_ssize_t timeout_ms(Call call) except? -1
cdef bint _includes_usage(bytes body, tuple span) except? -1
cdef object _value(bytes body, tuple span)
