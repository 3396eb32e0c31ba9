from edge.cache.memory cimport Held
from edge.exchange cimport Exchange
from edge.inquiry cimport Inquiry

cpdef fail(Exchange exchange, object error)
cpdef bytes error_event(Inquiry exchange, object error)
cpdef reply(Exchange exchange, int status, list headers, bytes body)
cdef bytes streamed(Exchange exchange, bytes body)
cpdef keep_alive(Exchange exchange)
cpdef serve(Exchange exchange, Held held, bytes form, str tier)
cpdef list stored_headers(Exchange exchange, Held held)
cpdef start_stream(Exchange exchange, int status, list headers)
cpdef start_shared(Exchange exchange, int status, list headers, object size)
cpdef start_reply(Exchange exchange, int status, list headers, object size=*)
cdef _start(Exchange exchange, int status, list headers, object size)
