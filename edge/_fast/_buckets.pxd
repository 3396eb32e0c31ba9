# Which bucket of a histogram a value is in, at C's own speed.

cdef extern from *:
    """
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif
    /* How many of the `count` bounds are below `value`: two at a time where the processor can (SSE2). There is no branch
       to mispredict, which is cheaper than a binary search for so few. */
    static inline Py_ssize_t edge_below(const double *bounds, Py_ssize_t count, double value) {
        Py_ssize_t i = 0, below = 0;
    #if defined(__SSE2__)
        const __m128d values = _mm_set1_pd(value);
        __m128i found = _mm_setzero_si128();
        long long both[2];
        for (; i + 2 <= count; i += 2)
            found = _mm_sub_epi64(found, _mm_castpd_si128(_mm_cmplt_pd(_mm_loadu_pd(bounds + i), values)));
        _mm_storeu_si128((__m128i *)both, found);
        below = (Py_ssize_t)(both[0] + both[1]);
    #endif
        for (; i < count; i++)
            below += bounds[i] < value;
        return below;
    }
    """
    Py_ssize_t below "edge_below"(const double *bounds, Py_ssize_t count, double value) noexcept nogil
