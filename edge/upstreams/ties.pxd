cimport cython

from edge._fast._words_c cimport Words as Sought
from edge.inquiry cimport Inquiry
from edge.payload cimport Payload

cdef dict SIGNS


@cython.final
cdef class Signs:
    cdef readonly tuple fields, forms
    cdef Sought words
    cdef readonly int otherwise


@cython.locals(payload=Payload, signs=Signs, tie=int, at=Py_ssize_t, body=bytes)
cpdef int tie_of(Inquiry inquiry) except -2
cpdef bint may_seal(Inquiry inquiry) except -1
cpdef bint leans(Inquiry inquiry) except -1
cpdef bint keeps_nothing(Inquiry inquiry) except -1
cpdef list targets_of(Inquiry inquiry, str tenant)
