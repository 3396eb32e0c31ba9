# What Cython's own declarations lack of CPython's API for str (documented, stable since 3.3), and a sort for few keys.

cdef extern from *:
    """
    static inline int edge_text_after(PyObject *one, PyObject *other) {
        if (PyUnicode_IS_ASCII(one) && PyUnicode_IS_ASCII(other)) {
            Py_ssize_t size = PyUnicode_GET_LENGTH(one), least = PyUnicode_GET_LENGTH(other);
            int order = memcmp(PyUnicode_DATA(one), PyUnicode_DATA(other), (size_t)(size < least ? size : least));
            return order ? order > 0 : size > least;
        }
        return PyUnicode_Compare(one, other) > 0; /* cannot fail: both are str */
    }
    /* Sort a list of str by code points; 0, with the list as it was, if one is not exactly a str. The list must be one
       that nobody else can see: no Python code runs while it is sorted here, and its references only change places. */
    static inline int edge_sort_texts(PyObject *list) {
        Py_ssize_t i, j, size = PyList_GET_SIZE(list);
        for (i = 0; i < size; i++)
            if (!PyUnicode_CheckExact(PyList_GET_ITEM(list, i)))
                return 0;
        if (size > 16) /* beyond this the quadratic insertion loses to the interpreter's sort */
            return PyList_Sort(list) < 0 ? -1 : 1;
        for (i = 1; i < size; i++) {
            PyObject *text = PyList_GET_ITEM(list, i);
            for (j = i; j > 0 && edge_text_after(PyList_GET_ITEM(list, j - 1), text); j--)
                PyList_SET_ITEM(list, j, PyList_GET_ITEM(list, j - 1));
            PyList_SET_ITEM(list, j, text);
        }
        return 1;
    }
    """
    bint is_ascii "PyUnicode_IS_ASCII"(str text) noexcept
    const char *ascii_data "PyUnicode_DATA"(str text) noexcept
    bint sort_texts "edge_sort_texts"(list texts) except -1
