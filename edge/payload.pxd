from edge._fast._json_scanned_c cimport Scanned as Scan


cdef class Payload:
    cdef readonly bytes body
    cdef readonly Scan scan
    cdef readonly Py_ssize_t deadline_ms
    cdef readonly bint stream, include_usage
    cdef readonly str model
    cdef bytes _digest

    cpdef begin(
        self, bytes body, Scan scan, str model, bint stream, bint include_usage, Py_ssize_t deadline_ms, bytes digest
    )
    cpdef tuple span(self, bytes name)
    cpdef bint says(self, bytes name, bytes value) except? -1
