# Whether two pieces of text are the same, for who compares many short ones: a call of memcmp takes longer than that.

cdef extern from *:
    """
    #include <string.h>
    #include <stdint.h>
    /* A piece of 4 to 16 bytes is its first half and its last one, which overlap. */
    static inline int edge_same(const unsigned char *one, const unsigned char *other, Py_ssize_t size) {
        if (size > 16)
            return memcmp(one, other, (size_t)size) == 0;
        if (size >= 8) {
            uint64_t a, b, c, d;
            memcpy(&a, one, 8);
            memcpy(&b, other, 8);
            memcpy(&c, one + size - 8, 8);
            memcpy(&d, other + size - 8, 8);
            return ((a ^ b) | (c ^ d)) == 0;
        }
        if (size >= 4) {
            uint32_t a, b, c, d;
            memcpy(&a, one, 4);
            memcpy(&b, other, 4);
            memcpy(&c, one + size - 4, 4);
            memcpy(&d, other + size - 4, 4);
            return ((a ^ b) | (c ^ d)) == 0;
        }
        while (size-- > 0)
            if (one[size] != other[size])
                return 0;
        return 1;
    }
    """
    bint same "edge_same"(const unsigned char *one, const unsigned char *other, Py_ssize_t size) noexcept nogil
