# Estimates of tokens, for compiled modules.

cimport cython

from edge._fast._asked_c cimport UsualRequest as CompiledRequest

cdef CompiledRequest USUAL
cdef long long BYTES, BEGIN, MESSAGE, TOOLS, SCHEMA_BYTES
cdef Py_ssize_t MAX_PARTS


@cython.locals(size=Py_ssize_t, request=CompiledRequest, tokens=cython.longlong)
cpdef long long estimate_input(str path, bytes body) except? -1
cpdef long long decoded_input(bytes body) except? -1
