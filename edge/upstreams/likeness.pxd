cimport cython

from edge.dialects.estimate cimport tokens_allowed
from edge.hooks cimport Usage
from edge.inquiry cimport Inquiry
from edge.payload cimport Payload

cdef int ANSWER, BYTES_A_TOKEN, KEPT_BITS
cdef long long MILLION
cdef dict KEYED

@cython.locals(payload=Payload, body=bytes, span=tuple, start=Py_ssize_t, stop=Py_ssize_t)
cpdef unsigned long long prefix_of(Inquiry inquiry) except? 0
@cython.locals(payload=Payload)
cpdef long long size_of(Inquiry inquiry) except? -1
cpdef long long size_for(long long size, long long output) except? -1
@cython.locals(shift=int)
cdef long long rounded(long long number) except? -1
