cimport cython

from edge.hooks cimport Usage
from edge.inquiry cimport Inquiry
from edge.upstreams.tried cimport Tried

cpdef bint is_for_nobody(Tried tried, int status) except -1
cpdef check_status(Tried tried, object route, int status, bytes body)
cpdef object failure_of(int status, bytes body)
cpdef bint may_follow(Tried tried, bint taken=*) except -1
cpdef bint may_go_on(Inquiry inquiry, Tried tried, object error, bint over) except -1
cpdef int said_of(Tried tried, object error) except -1
cpdef bint is_kept(Inquiry inquiry) except -1
cpdef str code_of_attempt(int status, object error)
cpdef list returned_headers(list headers, dict index)
cpdef bint is_stream(int status, dict index, bint asked) except -1
@cython.locals(usage=Usage, status=int, now=double)
cpdef conclude(Inquiry inquiry, Tried tried, object error, bint over)
