cdef class Receiver:
    cpdef head(self, int status, list headers, dict index, bint framed)
    cpdef body(self, bytes data)
    cpdef ended(self)
    cpdef failed(self, object error)
