# What the scan of a body has found, for compiled modules.

cdef class Scanned:
    cdef readonly Py_ssize_t values
    cdef readonly bint repeated, unsized
    cdef readonly object sizes
    cdef readonly long long text_bytes, schema_bytes
    cdef bytes _body
    cdef Py_ssize_t _count, _found_end
    cdef bint _escaped
    # Of each top-level key four places: in the object itself while they are few.
    cdef long long _few[64]
    cdef bytearray _tops
    cdef dict _spans
    cdef list _places

    cdef object of(self, bytes body)
    cdef bint keep(self, Py_ssize_t name, Py_ssize_t name_end, Py_ssize_t start, Py_ssize_t end) except? -1
    cdef long long *_top(self) noexcept
    cdef Py_ssize_t _find(self, bytes name) except? -2
    cpdef tuple span(self, bytes name)
    cpdef int begins(self, bytes name) except? -2
    cpdef bint says(self, bytes name, bytes value) except? -1
    cpdef long long number(self, bytes name) except? -1
    cpdef str text(self, bytes name)


cpdef long long number_in(bytes body, Py_ssize_t begin, Py_ssize_t end) except? -1
