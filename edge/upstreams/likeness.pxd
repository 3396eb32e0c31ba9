cimport cython

from edge.hooks cimport Usage
from edge.inquiry cimport Inquiry
from edge.payload cimport Payload

@cython.locals(payload=Payload, body=bytes, span=tuple, start=Py_ssize_t, stop=Py_ssize_t)
cpdef unsigned long long prefix_of(Inquiry inquiry) except? 0
@cython.locals(payload=Payload, output=int)
cpdef object size_of(Inquiry inquiry)
@cython.locals(span=tuple)
cpdef int number_of(Payload payload, bytes name, int otherwise=*) except? -1
