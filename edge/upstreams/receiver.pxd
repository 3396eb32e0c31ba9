from edge._fast._fields_c cimport Fields as CompiledFields


cdef class Receiver:
    cpdef head(self, int status, CompiledFields fields, bint framed)
    cpdef body(self, bytes data)
    cpdef ended(self)
    cpdef failed(self, object error)
