cimport cython

from edge._fast._fields_c cimport Fields as CompiledFields
from edge.clock cimport perf_counter
from edge._fast._member_c cimport Attempt as Begun
from edge._fast._member_c cimport Member as Known
from edge.dialects.crossing cimport Crossing
from edge.dialects.stream cimport Stream
from edge.hooks cimport Usage
from edge.inquiry cimport Inquiry
from edge.ledger cimport Ledger
from edge.payload cimport Payload
from edge.routes cimport Route
from edge.upload cimport Upload
from edge.upstreams.tried cimport Tried

cpdef bint is_for_nobody(Tried tried, int status) except -1
cpdef check_status(Tried tried, object route, int status, bytes body)
cpdef object failure_of(int status, bytes body)
@cython.locals(crossing=Crossing, stream=Stream)
cpdef bint may_follow(Tried tried, bint taken=*) except -1
@cython.locals(upload=Upload)
cpdef bint may_go_on(Inquiry inquiry, Tried tried, object error, bint over) except -1
cpdef int said_of(Tried tried, object error) except -1
@cython.locals(route=Route, payload=Payload)
cpdef bint is_kept(Inquiry inquiry) except -1
cpdef str code_of_attempt(int status, object error)


@cython.final
cdef class Returned:
    cdef list _names, _places, _ids
    cdef bint _waits

    @cython.locals(names=list, pair=tuple, i=Py_ssize_t, name=bytes, other=bytes)
    cpdef bint fits(self, list headers) except -1
    @cython.locals(upstream_id=bytes, pair=tuple, place=Py_ssize_t, returned=list)
    cpdef list of(self, list headers)


@cython.locals(headers=list, known=list, found=Returned, made=Returned, i=Py_ssize_t)
cpdef list returned_headers(CompiledFields fields)
@cython.locals(media_type=bytes)
cpdef bint is_stream(int status, CompiledFields fields, bint asked) except -1
@cython.locals(usage=Usage, status=int, now=double, trial=Begun, route=Route, ledger=Ledger)
cpdef conclude(Inquiry inquiry, Tried tried, object error, bint over)
