# What the compiled scan of a body uses of strings and keys.

cdef class Keys:
    cdef list _sets
    cdef Py_ssize_t _deepest
    cdef bytes _body
    cdef const unsigned char *_data
    cdef bytearray _frames
    cdef Py_ssize_t _frame
    cdef bytearray _stack
    cdef Py_ssize_t _top
    cdef bytearray _resolved
    cdef Py_ssize_t _used
    cdef bytearray _table
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _entries
    cdef unsigned long long _serial

    cdef object begin(self, bytes body)
    cdef object forget(self)
    cdef bint open(self) except? -1
    cdef bint close(self) except? -1
    cdef bint add(self, Py_ssize_t start, Py_ssize_t end) except? -1
    cdef const unsigned char *_text(self, Py_ssize_t place) noexcept
    cdef bint _enter(self, unsigned long long number, Py_ssize_t place, Py_ssize_t size) except? -1
    cdef object _grow(self)

cdef Py_ssize_t hex4(const unsigned char *data, Py_ssize_t i, Py_ssize_t size) except? -1
cdef Py_ssize_t text_end(const unsigned char *data, Py_ssize_t i, Py_ssize_t stop, Py_ssize_t size) except? -1
cdef str key_text(bytes body, Py_ssize_t start, Py_ssize_t end)
cdef Keys spare_keys(Py_ssize_t max_depth)
cdef object give_back(Keys keys)
