# Numbers as text, for compiled modules that have a place for it.

cdef long long LARGEST

cdef Py_ssize_t put_hundredths(char *end, double value)
cdef Py_ssize_t put_usd(char *end, long long cost)
