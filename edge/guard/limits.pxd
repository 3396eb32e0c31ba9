cdef class KeyLimits:
    cdef object _table, _meter
    cdef int _worker
    cdef public dict _marks

    cpdef Lease lease(self, object key)
    cdef object _of(self, object key)


cdef class Lease:
    cdef object _table, _meter, _key, _marks
    cdef int _worker
    cdef bint _occupies

    cpdef take(self)
    cpdef again(self)
    cpdef end(self)
    cpdef list headers(self, str dialect)
