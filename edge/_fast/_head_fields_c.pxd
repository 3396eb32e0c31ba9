# What compiled modules know of a head's fields: where each lies in the bytes that it was read from.

# The numbers are those of head_tables.py.
cdef enum:
    CONTENT_LENGTH = 1
    TRANSFER_ENCODING = 2
    CONNECTION = 3
    HOST = 4
    EXPECT = 5
    TE = 6
    UPGRADE = 7
    TRAILER = 8
    PROXY_CONNECTION = 9
    AUTHORIZATION = 10
    X_API_KEY = 11
    API_KEY = 12
    CONTENT_TYPE = 13
    CONTENT_ENCODING = 14
    ACCEPT = 15
    X_REQUEST_ID = 16
    REQUEST_ID = 17
    TRACEPARENT = 18
    CACHE_CONTROL = 19
    ORIGIN = 20
    ANTHROPIC_VERSION = 21
    ANTHROPIC_BETA = 22
    OPENAI_BETA = 23
    X_EDGE_CACHE_TTL = 24
    X_EDGE_TIMEOUT_MS = 25
    X_EDGE_TAGS = 26
    RETRY_AFTER = 27
    RETRY_AFTER_MS = 28
    X_SHOULD_RETRY = 29
    OPENAI_PROCESSING_MS = 30

cdef enum:
    MOST_FIELDS = 256
    KNOWN_NAMES = 128

cdef class Head:
    # The bytes it was read from, and where it begins and ends in them. `end` is that of the empty line.
    cdef bytes _data
    cdef const unsigned char *_text
    cdef readonly Py_ssize_t start, end
    # -1: there is none. `keeps_alive`: the connection goes on after the message.
    cdef readonly long long content_length
    cdef readonly bint chunked, keeps_alive
    # Its fields: where name and value of each begin and end, and the name's number (0: it is not known).
    cdef readonly Py_ssize_t count
    cdef int name_at[256]
    cdef int name_end[256]
    cdef int value_at[256]
    cdef int value_end[256]
    cdef unsigned char known[256]
    # By a name's number: one more than the place of the first field of that name, 0 if there is none.
    cdef unsigned short place[128]
    cdef Py_ssize_t _max_fields, _max_bytes
    cdef bint _of_request
    cdef list _pairs

    cdef Py_ssize_t _begin(self, bytes data, Py_ssize_t start, Py_ssize_t seen) noexcept
    cdef Py_ssize_t _fields(self, Py_ssize_t i, Py_ssize_t size) noexcept
    cdef bint _takes(self, int known, Py_ssize_t at, Py_ssize_t end) noexcept
    cdef tuple _pair(self, Py_ssize_t place)
    cdef bytes _part(self, Py_ssize_t start, Py_ssize_t end)
    cpdef bytes value(self, int known)
    cpdef list fields(self)
    cpdef object forget(self)
