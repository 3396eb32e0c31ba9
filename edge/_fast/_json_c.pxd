# The scan of a body, for compiled modules.

from edge._fast._json_scanned_c cimport Scanned
from edge._fast._json_strings_c cimport Keys

cdef Py_ssize_t _START, _ELEMENT, _COLON, _VALUE, _AFTER, _END, _IN_KEY, _IN_STRING, _DONE
cdef Py_ssize_t _KEY_LIMIT, _TOP_LIMIT, _NUMBER_LIMIT, _VALUE_LIMIT, _NAME_LIMIT

cdef class JSONScanner(Scanned):
    cdef readonly list elements, strings
    cdef list _cuts
    cdef Keys _keys
    cdef unsigned char _arrays[130]
    cdef bytearray _deep
    cdef Py_ssize_t _long, _key_start, _key_end, _depth_limit, _number_limit, _value_limit, _key_limit
    cdef Py_ssize_t _names, _at, _state, _depth, _string, _top_start, _name_start, _name_end
    cdef bint _first, _checked

    cpdef object begin(self, bytes body, Py_ssize_t max_depth=*, Py_ssize_t long_bytes=*)
    cpdef bint step(self, Py_ssize_t max_bytes=*, Py_ssize_t max_values=*) except? -1
    cdef bint _is_checked(self) except? -1
    cdef object _note(self, Py_ssize_t end, bint in_array)
    cdef object _name(self, Py_ssize_t end, Py_ssize_t depth)
