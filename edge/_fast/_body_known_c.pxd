# Bodies that came before, for compiled modules.

from edge._fast._body_text_c cimport BodyText
from edge._fast._json_scanned_c cimport Scanned
from edge._fast._measure_c cimport Measure
from edge._fast._skeleton_c cimport Skeleton
from edge._fast._walk_c cimport Walk


cdef class Outline(Walk):
    cdef Skeleton of(self, bytes body)


cdef class KnownBody:
    cdef readonly bint stream, include_usage
    cdef readonly str model
    cdef Skeleton _skeleton
    cdef str _accepted
    cdef bytes _name
    cdef bytearray _places
    cdef Py_ssize_t _values, _count, _named, _name_at, _name_end
    cdef bint _repeated, _again, _sought
    cdef BodyText _text

    cpdef Scanned scan(self, bytes body)
    cdef Py_ssize_t _place(self, Py_ssize_t number) noexcept
    cdef bint _is_same(self, bytes body) noexcept
    cdef object _seek(self, bytes body, Measure read)
    cpdef object accept(self, bytes body, str model)


cdef class KnownBodies:
    cdef list _bodies
    cdef Py_ssize_t _left_alone, _rest, _hopes
    cdef bint _wanted

    cpdef KnownBody find(self, bytes body)
    cpdef object learn(self, Scanned scan, bint stream, bint include_usage)
    cpdef object size(self, bytes body, Measure read)
