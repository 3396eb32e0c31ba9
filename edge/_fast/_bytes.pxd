# What the scan of bodies does at C's own speed: runs of plain text, and a hash that nobody outside can foresee.

cdef extern from *:
    """
    #include <string.h>
    #include <stdint.h>
    /* How many of the `size` bytes at `data` are printable ASCII, DEL included, but no quote and no backslash: eight at
       a time, by the tricks of "Bit Twiddling Hacks" (Sean Eron Anderson, public domain). */
    static inline Py_ssize_t edge_plain_run(const unsigned char *data, Py_ssize_t size) {
        const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
        Py_ssize_t i = 0;
        while (i + 8 <= size) {
            uint64_t word, quote, slash;
            memcpy(&word, data + i, 8);
            quote = word ^ (ones * '"');
            slash = word ^ (ones * '\\\\');
            if (((word - ones * 0x20) | (quote - ones) | (slash - ones) | word) & highs)
                break; /* perhaps: a byte looks like one that ends the run, or is one */
            i += 8;
        }
        while (i < size && data[i] >= 0x20 && data[i] < 0x80 && data[i] != '"' && data[i] != '\\\\')
            i++;
        return i;
    }
    /* CPython's hash of bytes: SipHash with a key of the process. */
    static inline unsigned long long edge_hash(const void *data, Py_ssize_t size) {
    #if PY_VERSION_HEX >= 0x030E0000
        return (unsigned long long)Py_HashBuffer(data, size);
    #else
        return (unsigned long long)_Py_HashBytes(data, size);
    #endif
    }
    """
    Py_ssize_t plain_run "edge_plain_run"(const unsigned char *data, Py_ssize_t size) noexcept nogil
    unsigned long long hash_bytes "edge_hash"(const void *data, Py_ssize_t size) noexcept
