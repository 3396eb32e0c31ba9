cimport cython

from edge.dialects.failures cimport usage_in_answer
from edge.dialects.stream cimport Stream
from edge.inquiry cimport Inquiry
from edge.payload cimport Payload


cpdef bint is_short(Inquiry inquiry) except -1
cpdef bint is_brief(bytes body) except -1


cdef class Crossing:
    cdef public object _route
    cdef public Stream stream
    cdef public str path
    cdef public bytes asked, body
    cdef public bytes answered
    cdef public tuple dropped
    cdef public bint translates, prepared

    cdef _open(self, Inquiry inquiry, str model, object facts)
    @cython.locals(body=bytes, signed=bytes, start=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, moved=Py_ssize_t, named=tuple)
    cdef _change(self, Payload payload, str model, bint signs)
    cpdef object usage(self, bytes media_type, bytes body)
    cpdef tuple answer(self, int status, bytes body)
    cpdef list headers(self, list headers)
