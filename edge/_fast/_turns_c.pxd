cpdef Py_ssize_t first_turn_end(bytes body, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t block) except -1
