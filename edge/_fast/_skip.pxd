# The skip loop of the scanner: the next byte at which anything it looks for could be recognised. 16 bytes at a time where
# the compiler says the processor can (SSE2, NEON), byte by byte elsewhere; both stop at the same bytes.
# Every read is below `size`: a block is read only while i + 18 <= size, and its last load ends at i + 2 + 16.

cdef extern from *:
    """
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #elif defined(__ARM_NEON)
    #include <arm_neon.h>
    #endif

    static inline int edge_scan_stops(unsigned char c, unsigned char escape) {
        return (unsigned char)(c - 0x30) <= 10 || c == 0x40 || c == 0x2D || c == 0x5F || c == 0x7A || c == 0x53
            || (c | 1) == 0x4B || c == escape;
    }

    static Py_ssize_t edge_scan_next(const unsigned char *t, Py_ssize_t i, Py_ssize_t size, int json) {

        const unsigned char escape = json ? 0x5C : 0x40;
        /* Stops come in runs: the constants below are not worth loading for the next one. */
        if (i < size && edge_scan_stops(t[i], escape))
            return i;
    #if defined(__SSE2__)
        const __m128i zero = _mm_set1_epi8(0x30), ten = _mm_set1_epi8(10), at = _mm_set1_epi8(0x40);
        const __m128i dash = _mm_set1_epi8(0x2D), low = _mm_set1_epi8(0x5F), z = _mm_set1_epi8(0x7A);
        const __m128i s = _mm_set1_epi8(0x53), k = _mm_set1_epi8(0x4B), one = _mm_set1_epi8(1);
        const __m128i back = _mm_set1_epi8((char)escape), fold = _mm_set1_epi8(0x20);
        const __m128i b = _mm_set1_epi8(0x62), e = _mm_set1_epi8(0x65), a = _mm_set1_epi8(0x61);
        for (; i + 18 <= size; i += 16) {
            const __m128i v = _mm_loadu_si128((const __m128i *)(t + i));
            const __m128i w = _mm_or_si128(_mm_loadu_si128((const __m128i *)(t + i + 1)), fold);
            const __m128i x = _mm_or_si128(_mm_loadu_si128((const __m128i *)(t + i + 2)), fold);
            const __m128i digit = _mm_sub_epi8(v, zero);
            __m128i hit = _mm_cmpeq_epi8(_mm_min_epu8(digit, ten), digit);
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, at));
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, dash));
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, low));
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, z));
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, s));
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_or_si128(v, one), k));
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, back));
            hit = _mm_or_si128(hit, _mm_and_si128(_mm_cmpeq_epi8(_mm_or_si128(v, fold), b),
                                                  _mm_and_si128(_mm_cmpeq_epi8(w, e), _mm_cmpeq_epi8(x, a))));
            const int mask = _mm_movemask_epi8(hit);
            if (mask)
                return i + __builtin_ctz((unsigned)mask);
        }
    #elif defined(__ARM_NEON)
        const uint8x16_t fold = vdupq_n_u8(0x20);
        for (; i + 18 <= size; i += 16) {
            const uint8x16_t v = vld1q_u8(t + i);
            const uint8x16_t w = vorrq_u8(vld1q_u8(t + i + 1), fold), x = vorrq_u8(vld1q_u8(t + i + 2), fold);
            uint8x16_t hit = vcleq_u8(vsubq_u8(v, vdupq_n_u8(0x30)), vdupq_n_u8(10));
            hit = vorrq_u8(hit, vceqq_u8(v, vdupq_n_u8(0x40)));
            hit = vorrq_u8(hit, vceqq_u8(v, vdupq_n_u8(0x2D)));
            hit = vorrq_u8(hit, vceqq_u8(v, vdupq_n_u8(0x5F)));
            hit = vorrq_u8(hit, vceqq_u8(v, vdupq_n_u8(0x7A)));
            hit = vorrq_u8(hit, vceqq_u8(v, vdupq_n_u8(0x53)));
            hit = vorrq_u8(hit, vceqq_u8(vorrq_u8(v, vdupq_n_u8(1)), vdupq_n_u8(0x4B)));
            hit = vorrq_u8(hit, vceqq_u8(v, vdupq_n_u8(escape)));
            hit = vorrq_u8(hit, vandq_u8(vceqq_u8(vorrq_u8(v, fold), vdupq_n_u8(0x62)),
                                         vandq_u8(vceqq_u8(w, vdupq_n_u8(0x65)), vceqq_u8(x, vdupq_n_u8(0x61)))));
            const uint64x2_t any = vreinterpretq_u64_u8(hit);
            if (vgetq_lane_u64(any, 0) | vgetq_lane_u64(any, 1))
                break;
        }
    #endif
        for (; i < size; i++) {
            const unsigned char c = t[i];
            if (edge_scan_stops(c, escape))
                return i;
            if ((c | 0x20) == 0x62 && (i + 1 >= size || (t[i + 1] | 0x20) == 0x65)
                    && (i + 2 >= size || (t[i + 2] | 0x20) == 0x61))
                return i;
        }
        return size;
    }
    """
    Py_ssize_t scan_next "edge_scan_next"(const unsigned char *text, Py_ssize_t i, Py_ssize_t size, bint json) noexcept nogil
