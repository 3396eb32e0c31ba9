# The heads of requests and answers, for compiled modules.

from edge._fast._head_fields_c cimport Head

# The places in METHODS (head_tables.py).
cdef enum:
    GET = 1
    HEAD = 2
    POST = 3
    OPTIONS = 4
    PUT = 5
    PATCH = 6
    DELETE = 7

cdef class RequestHead(Head):
    cdef readonly int method
    cdef readonly Py_ssize_t target_at, target_end
    cdef Py_ssize_t _max_target

    # Where the head ends, 0 if it is not complete, -1 if it is not of the common form.
    cpdef Py_ssize_t read(self, bytes data, Py_ssize_t start=*, Py_ssize_t seen=*) except? -1
    cdef Py_ssize_t _begun(self, Py_ssize_t start, Py_ssize_t size) except? -1

cdef class ResponseHead(Head):
    cdef readonly int status

    cpdef Py_ssize_t read(self, bytes data, Py_ssize_t start=*, Py_ssize_t seen=*) except? -1
    cdef Py_ssize_t _begun(self, Py_ssize_t start, Py_ssize_t size) except? -1
