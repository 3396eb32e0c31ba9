from edge.dialects.stream cimport Stream
from edge.exchange cimport Exchange


cpdef bint is_short(Exchange exchange) except -1
cpdef bint is_brief(bytes body) except -1
cpdef Crossing open_crossing(Exchange exchange, str model, str dialect, str version=*, bint system_first=*)


cdef class Crossing:
    cdef public object _route
    cdef public Stream stream
    cdef public str path
    cdef public bytes asked, body
    cdef public tuple dropped
    cdef public bint translates, prepared

    cpdef object usage(self, bytes media_type, bytes body)
    cpdef tuple answer(self, int status, bytes body)
    cpdef list headers(self, list headers)
