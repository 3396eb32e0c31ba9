# The reader at C speed for the scanner's other modules. The numbers are those of scan_tables.py.

cdef enum:
    DIGIT = 1
    LETTER = 2
    ALNUM = 3
    HEX = 4
    LOCAL = 8
    TOKEN = 16
    VALUE = 32
    PEM = 64

cdef enum:
    EMAIL = 0
    PHONE = 1
    SSN = 2
    CARD = 3
    IBAN = 4
    IP = 5
    SECRET = 6

cdef enum:
    PLAIN = 0
    JSON = 1
    CODE = 2

cdef enum:
    PHONE_WORD = 1
    NO_PHONE_WORD = 2
    SSN_WORD = 4
    VERSION_WORD = 8
    SIDE_WORD = 16
    NO_CARD_WORD = 32

cdef class Reader:
    cdef bytes data
    cdef bytes table
    cdef const unsigned char *text
    cdef const unsigned char *classes
    cdef Py_ssize_t first
    cdef Py_ssize_t size
    cdef Py_ssize_t floor
    cdef long long mask
    cdef int reading
    cdef bint loose
    cdef Py_ssize_t key_start
    cdef Py_ssize_t key_end
    cdef bint short
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef Py_ssize_t tried
    cdef Py_ssize_t group[12]
    cdef Py_ssize_t stop[12]
    cdef Py_ssize_t gap[12]
    cdef Py_ssize_t count[12]
    cdef Py_ssize_t digits[32]

cdef inline unsigned char get(Reader r, Py_ssize_t p) noexcept:
    return r.text[p]

cdef inline unsigned char peek(Reader r, Py_ssize_t p) noexcept:
    if p >= r.size:
        r.short = True
        return 0
    return r.text[p]

cdef inline unsigned char prior(Reader r, Py_ssize_t p) noexcept:
    if p <= r.floor:
        return 0
    return r.text[p - 1]

cdef inline bint has(Reader r, unsigned char c, unsigned char bits) noexcept:
    return (r.classes[c] & bits) != 0

cdef bint escapes(Reader r, unsigned char c) except? -1
cdef bint wide_before(Reader r, Py_ssize_t p, Py_ssize_t low) except? -1
cdef bint joined(Reader r, Py_ssize_t p) except? -1
cdef Py_ssize_t meaning(Reader r, Py_ssize_t p, Py_ssize_t window) except? -1
cdef Py_ssize_t meaning_after(Reader r, Py_ssize_t p) except? -1
