from edge.exchange cimport Exchange


cdef class KeyLimits:
    cdef object _table, _meter
    cdef int _worker
    cdef public dict _marks

    cpdef take(self, Exchange exchange)
    cpdef done(self, Exchange exchange)
    cdef object _of(self, object key)
