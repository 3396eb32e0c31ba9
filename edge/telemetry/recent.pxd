# The latest requests, compiled.

from edge.hooks cimport Recorder, RequestRecord


cdef class Recent(Recorder):
    cdef object _view, _until, _attempts, _marks
    cdef Py_ssize_t _places, _place, _count, _told
    cdef list _records

    cpdef done(self, RequestRecord record)
