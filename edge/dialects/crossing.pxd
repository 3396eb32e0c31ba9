cimport cython

from edge.dialects.failures cimport usage_in_answer
from edge.dialects.stream cimport Stream
from edge.hooks cimport Usage
from edge.inquiry cimport Inquiry
from edge.payload cimport Payload
from edge.routes cimport Route


cdef Py_ssize_t FEW, LARGE


@cython.locals(payload=Payload)
cpdef bint is_short(Inquiry inquiry) except -1
cpdef bint is_brief(bytes body) except -1


cdef class Crossing:
    cdef public Route _route
    cdef public Stream stream
    cdef public str path
    cdef public bytes asked, body
    cdef public bytes answered
    cdef public tuple dropped
    cdef public bint translates, prepared

    @cython.locals(route=Route, payload=Payload)
    cpdef begin(self, Inquiry inquiry, str model, object facts)
    @cython.locals(body=bytes, signed=bytes, start=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, moved=Py_ssize_t, named=tuple)
    cdef _change(self, Payload payload, str model, bint signs)
    cpdef Usage usage(self, bytes media_type, bytes body)
    cpdef frozenset warnings(self)
    cpdef object told(self)
    cpdef tuple answer(self, int status, bytes body)
    cpdef list headers(self, list headers)
