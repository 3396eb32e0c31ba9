# Estimates of tokens, for compiled modules.

cimport cython

from edge._fast._asked_c cimport UsualRequest as CompiledRequest
from edge._fast._body_known_c cimport KnownBodies as CompiledBodies
from edge._fast._body_text_c cimport BodyText as CompiledText
from edge._fast._json_scanned_c cimport Scanned as Scan
from edge.payload cimport Payload

cdef CompiledRequest USUAL
cdef long long BYTES, BEGIN, MESSAGE, TOOLS, SCHEMA_BYTES
cdef Py_ssize_t MAX_PARTS


@cython.locals(most=cython.longlong)
cpdef long long tokens_allowed(Payload payload) except? -1
@cython.locals(size=Py_ssize_t, request=CompiledRequest)
cpdef long long estimate_input(str path, bytes body) except? -1
@cython.locals(sizes=CompiledText)
cpdef long long known_input(str path, bytes body, Scan scan, str model) except? -1
@cython.locals(tokens=cython.longlong)
cpdef long long sized_input(str path, bytes body, CompiledBodies bodies) except? -1
@cython.locals(tokens=cython.longlong)
cdef long long tokens_of(long long text, long long messages, long long tools, long long schemas) except? -1
cpdef long long decoded_input(bytes body) except? -1
