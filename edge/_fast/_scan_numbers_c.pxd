from edge._fast._scan_text_c cimport Reader

cdef Py_ssize_t number(Reader r, Py_ssize_t at) except? -1
