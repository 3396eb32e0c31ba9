from edge.exchange cimport Exchange

cpdef bint scan(Exchange exchange) except -1
cpdef check_body(Exchange exchange)
cpdef object timeout_ms(Exchange exchange)
cdef object _value(bytes body, tuple span)
