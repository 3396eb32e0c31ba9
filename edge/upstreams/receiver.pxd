from edge._fast._fields_c cimport Fields as CompiledFields
from edge.upstreams.request cimport UpstreamRequest


cdef class Transport:
    cpdef object send(self, UpstreamRequest request, Receiver receiver)


cdef class Receiver:
    cpdef head(self, int status, CompiledFields fields, bint framed)
    cpdef body(self, bytes data)
    cpdef ended(self)
    cpdef failed(self, object error)
