# Looking at a key costs no call: a walk of a request does it tens of times.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from edge._fast._walk_c cimport Walk


cdef inline bint is_key(Walk walk, bytes name) noexcept:
    cdef Py_ssize_t size = walk._key_end - walk._key_at
    if PyBytes_GET_SIZE(name) != size:
        return False
    return memcmp(walk._data + walk._key_at, PyBytes_AS_STRING(name), size) == 0
