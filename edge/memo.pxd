cpdef object keep(dict memo, object key, object value, Py_ssize_t most=*)
