from edge._fast._scan_text_c cimport Reader

cdef bint phone(Reader r, Py_ssize_t n) except? -1
