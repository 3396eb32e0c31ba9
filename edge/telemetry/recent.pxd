# The latest requests, compiled.

from edge.hooks cimport Recorder, RequestRecord


cdef class Recent(Recorder):
    cdef object _view, _until, _marks
    cdef Py_ssize_t _places, _base, _count, _told
    cdef list _records
    cdef dict _unpriced
    cdef bint _watched, _news

    cpdef done(self, RequestRecord record)
