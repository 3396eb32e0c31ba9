# What the scan of bodies does at C's own speed: runs of plain text, and a hash that nobody outside can foresee.

cdef extern from *:
    """
    #include <string.h>
    #include <stdint.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif
    /* How many of the `size` bytes at `data` are printable ASCII, DEL included, but no quote and no backslash: 16 at a
       time where the processor can (SSE2), else eight, by the tricks of "Bit Twiddling Hacks" (Sean Eron Anderson,
       public domain). */
    static inline Py_ssize_t edge_plain_run(const unsigned char *data, Py_ssize_t size) {
        Py_ssize_t i = 0;
    #if defined(__SSE2__)
        const __m128i quotes = _mm_set1_epi8('"'), slashes = _mm_set1_epi8('\\\\'), space = _mm_set1_epi8(0x20);
        for (; i + 16 <= size; i += 16) {
            const __m128i v = _mm_loadu_si128((const __m128i *)(data + i));
            /* As signed bytes, those from 0x80 on are below 0x20 too. */
            const int mask = _mm_movemask_epi8(_mm_or_si128(
                _mm_cmplt_epi8(v, space), _mm_or_si128(_mm_cmpeq_epi8(v, quotes), _mm_cmpeq_epi8(v, slashes))));
            if (mask)
                return i + __builtin_ctz((unsigned)mask);
        }
    #else
        const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
        while (i + 8 <= size) {
            uint64_t word, quote, slash;
            memcpy(&word, data + i, 8);
            quote = word ^ (ones * '"');
            slash = word ^ (ones * '\\\\');
            if (((word - ones * 0x20) | (quote - ones) | (slash - ones) | word) & highs)
                break; /* perhaps: a byte looks like one that ends the run, or is one */
            i += 8;
        }
    #endif
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
