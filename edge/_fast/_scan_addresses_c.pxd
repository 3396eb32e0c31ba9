from edge._fast._scan_text_c cimport Reader

cdef bint email(Reader r, Py_ssize_t at) except? -1
cdef bint ip4(Reader r, Py_ssize_t at) except? -1
cdef bint ip6(Reader r, Py_ssize_t at) except? -1
cdef bint closed(Reader r, Py_ssize_t p) except? -1
