from edge._fast._scan_text_c cimport Reader

cdef bint secret(Reader r, Py_ssize_t at) except? -1
cdef bint google_access(Reader r, Py_ssize_t at) except? -1
