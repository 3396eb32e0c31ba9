from edge.call cimport Call
from edge.hooks cimport Usage
from edge.inquiry cimport Inquiry
from edge.money.pricing cimport ModelPrice


cdef class Book:
    cdef object _bind
    cdef tuple _metrics, _labels
    cdef int _kind_at
    cdef list _adders

    cpdef enter(self, Usage usage, object cost)
    cdef _add(self, int number, object amount)


cdef class Accounts:
    cdef object _count, _bind
    cdef object _charged, _saved

    cpdef tuple charge(self, object upstream, str model_label, str tenant, Usage usage)
    cpdef saved(self, str model_label, str tenant, str tier, Usage usage, object cost)
    cpdef saved_by(self, Call call, object cost)
    cpdef settle(self, Inquiry inquiry, object tried, object error, bytes answer=*)
    cdef object _answered(self, object tried, str path, object error, bytes answer)


cdef bint cut_off(object tried, object error) except -1
