from edge.exchange cimport Exchange

cpdef bint is_for_nobody(Exchange exchange, int status, bint others_left) except -1
cpdef check_status(Exchange exchange, int status, bytes body, bint others_left)
cpdef object failure_of(int status, bytes body)
cpdef bint may_follow(Exchange exchange, bint taken=*) except -1
cpdef bint is_kept(Exchange exchange) except -1
cdef bint says(Exchange exchange, str field, bytes value) except -1
cpdef str code_of_attempt(Exchange exchange, object error)
cpdef list returned_headers(list headers, dict index)
cpdef bint is_stream(int status, dict index, bint asked) except -1
