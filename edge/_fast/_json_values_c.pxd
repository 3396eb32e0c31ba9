# What the compiled scan of a body uses of numbers and literals.

cdef Py_ssize_t number_end(const unsigned char *data, Py_ssize_t start, Py_ssize_t size, Py_ssize_t limit) except? -1
cdef Py_ssize_t literal_end(const unsigned char *data, Py_ssize_t i, Py_ssize_t size) except? -1
