cimport cython

cdef int IN_API, IN_DATA, IN_SCHEMA, IN_CREDENTIALS


@cython.final
cdef class Letters:
    cdef readonly list alphabets
    cdef bytes _body
    cdef Py_ssize_t _start, _begin

    cpdef take(self, Py_ssize_t start, Py_ssize_t end, bint last)


@cython.final
cdef class Leaf:
    cdef public int what
    cdef readonly list cuts
    cdef readonly Py_ssize_t key_start, key_end
    cdef readonly Py_ssize_t siblings
    cdef public Letters letters


@cython.final
cdef class Frame:
    cdef public bint keyed
    cdef public bytes key, kind
    cdef public Py_ssize_t key_start, key_end
    cdef public int zone
    cdef public Py_ssize_t number
    cdef public list late


@cython.final
cdef class Leaves:
    cdef bytes _body
    cdef Py_ssize_t _size, _at, _number, _left, _unsure
    cdef list _frames, _cuts
    cdef Frame _frame
    cdef Letters _letters
    cdef object _waiting

    cpdef Leaf next(self)
    cdef Leaf _read(self)
    cdef _value_ended(self)
    cdef Leaf _short(self, Py_ssize_t start)
    cdef Leaf _go_on(self)
    cdef Leaf _string(self, list cuts, bint is_key)
    cdef _judge(self, Frame frame, list late)


cdef bytes _name(bytes key)
cdef int _zone(Frame outer) except -1
cdef Py_ssize_t _piece_end(bytes body, Py_ssize_t at, Py_ssize_t size) except -1
cdef int _what(bytes body, Frame frame, Leaf leaf) except -1
cdef bint _is_short(bytes body, Leaf leaf) except -1
cdef bint _is_sealed(bytes body, bytes key, bytes kind, Leaf leaf) except -1
cdef bint _is_base64(bytes body, Leaf leaf) except -1
