# What the scan of heads does at C's own speed: the ends of names and values, and names that are known.
# No read is at or beyond `size`.

cdef extern from *:
    """
    #include <string.h>
    #include <stdint.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif

    /* RFC 9110, section 5.6.2: what a field's name is made of. */
    static const unsigned char edge_token[256] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, [39] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
        ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
        ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
        ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1,
        ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1,
        ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1,
        ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1,
        ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1,
        ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
    };

    static inline Py_ssize_t edge_token_end(const unsigned char *t, Py_ssize_t i, Py_ssize_t size) {
        while (i < size && edge_token[t[i]])
            i++;
        return i;
    }

    /* The first byte from `i` on that may not stand in a value: a control character but HTAB, or DEL. */
    static inline Py_ssize_t edge_value_end(const unsigned char *t, Py_ssize_t i, Py_ssize_t size) {
    #if defined(__SSE2__)
        const __m128i last = _mm_set1_epi8(0x1F), tab = _mm_set1_epi8(0x09), del = _mm_set1_epi8(0x7F);
        for (; i + 16 <= size; i += 16) {
            const __m128i v = _mm_loadu_si128((const __m128i *)(t + i));
            const __m128i control = _mm_andnot_si128(_mm_cmpeq_epi8(v, tab), _mm_cmpeq_epi8(_mm_min_epu8(v, last), v));
            const int mask = _mm_movemask_epi8(_mm_or_si128(control, _mm_cmpeq_epi8(v, del)));
            if (mask)
                return i + __builtin_ctz((unsigned)mask);
        }
    #else
        const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
        while (i + 8 <= size) {
            uint64_t word, del;
            memcpy(&word, t + i, 8);
            del = word ^ (ones * 0x7F);
            if ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & highs)
                break; /* perhaps: a byte looks like one that ends the value, or is one */
            i += 8;
        }
    #endif
        while (i < size && (t[i] >= 0x20 ? t[i] != 0x7F : t[i] == 0x09))
            i++;
        return i;
    }

    /* Names that are known: found by their length, their first eight bytes and their last, small letters for capitals.
       Only letters are changed by that, so what is found is the name and no other. */
    #define EDGE_NAME_PLACES 1024
    #define EDGE_NAME_MAX 48
    typedef struct {
        uint64_t first, last;
        Py_ssize_t size;
        unsigned char text[EDGE_NAME_MAX];
    } edge_name;
    static edge_name edge_names[128];
    static unsigned char edge_places[EDGE_NAME_PLACES]; /* the names' numbers, by hash */

    static inline uint64_t edge_fold(uint64_t word) {
        uint64_t letters = word & 0x4040404040404040ull;
        return word | (letters >> 1);
    }

    static inline uint64_t edge_word(const unsigned char *t) {
        uint64_t word;
        memcpy(&word, t, 8);
        return edge_fold(word);
    }

    static inline unsigned edge_name_place(uint64_t first, uint64_t last, Py_ssize_t size) {
        /* Multipliers by which three of the names meet another, found by trying; any would do. */
        uint64_t mixed = ((first * 0x54C56C9A9CC9AF4Full ^ last) + (uint64_t)size) * 0x99901C0475491BC3ull;
        return (unsigned)(mixed >> 54);
    }

    /* The number of the name of `size` bytes at `t`, of which `left` may be read; 0 if it is not known. */
    static inline int edge_name_find(const unsigned char *t, Py_ssize_t size, Py_ssize_t left) {
        uint64_t first = 0, last;
        unsigned place, number;
        if (size > EDGE_NAME_MAX)
            return 0;
        if (size >= 8) {
            first = edge_word(t);
            last = edge_word(t + size - 8);
        } else {
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            if (left >= 8) {
                memcpy(&first, t, 8);
                first &= ~(~(uint64_t)0 << (8 * size));
            } else
    #endif
                memcpy(&first, t, (size_t)size);
            last = first = edge_fold(first);
        }
        for (place = edge_name_place(first, last, size); (number = edge_places[place]);
                place = (place + 1) & (EDGE_NAME_PLACES - 1)) {
            const edge_name *name = &edge_names[number];
            if (name->first == first && name->last == last && name->size == size) {
                Py_ssize_t i = 8;
                uint64_t word;
                for (; i < size - 8; i += 8) {
                    memcpy(&word, name->text + i, 8);
                    if (edge_word(t + i) != word)
                        break;
                }
                if (i >= size - 8)
                    return (int)number;
            }
        }
        return 0;
    }

    /* The first colon from `i` on, if it is near; else the end of the token at `i`. */
    static inline Py_ssize_t edge_name_end(const unsigned char *t, Py_ssize_t i, Py_ssize_t size) {
    #if defined(__SSE2__)
        const __m128i colon = _mm_set1_epi8(':');
        Py_ssize_t j = i, near = i + EDGE_NAME_MAX;
        for (; j + 16 <= size && j < near; j += 16) {
            const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(t + j)), colon));
            if (mask)
                return j + __builtin_ctz((unsigned)mask);
        }
    #endif
        return edge_token_end(t, i, size);
    }

    /* The first byte from `i` on that may not stand in a target of the common form: no visible ASCII, or a fragment. */
    static inline Py_ssize_t edge_target_end(const unsigned char *t, Py_ssize_t i, Py_ssize_t size) {
        while (i < size && (unsigned char)(t[i] - 0x21) <= 0x7E - 0x21 && t[i] != '#')
            i++;
        return i;
    }

    /* Whether an empty line comes from `i` on. */
    static inline int edge_head_ends(const unsigned char *t, Py_ssize_t i, Py_ssize_t size) {
        while (i + 4 <= size) {
            const unsigned char *found = (const unsigned char *)memchr(t + i + 3, 0x0A, (size_t)(size - i - 3));
            if (!found)
                return 0;
            if (found[-1] == 0x0D && found[-2] == 0x0A && found[-3] == 0x0D)
                return 1;
            i = found - t - 2;
        }
        return 0;
    }

    /* Whether these are the `size` small letters and hyphens of `word`, in capitals or not. */
    static inline int edge_is(const unsigned char *t, const char *word, Py_ssize_t size) {
        while (size--)
            if ((t[size] | (t[size] & 0x40) >> 1) != (unsigned char)word[size])
                return 0;
        return 1;
    }

    /* The number of the method that a request begins with, 0 if that is none of those in head_tables.py. */
    static inline int edge_method(const unsigned char *t, Py_ssize_t left) {
        if (left < 8)
            return 0;
        switch (t[0]) {
        case 'G': return memcmp(t, "GET ", 4) ? 0 : 1;
        case 'H': return memcmp(t, "HEAD ", 5) ? 0 : 2;
        case 'P': return !memcmp(t, "POST ", 5) ? 3 : !memcmp(t, "PUT ", 4) ? 5 : !memcmp(t, "PATCH ", 6) ? 6 : 0;
        case 'O': return memcmp(t, "OPTIONS ", 8) ? 0 : 4;
        case 'D': return memcmp(t, "DELETE ", 7) ? 0 : 7;
        }
        return 0;
    }
    static inline int edge_method_size(int method) {
        static const unsigned char sizes[8] = {0, 3, 4, 4, 7, 3, 5, 6};
        return sizes[method];
    }

    /* Once for each name, which is in small letters, at the beginning. */
    static inline void edge_name_add(const unsigned char *text, Py_ssize_t size, int number) {
        uint64_t first = 0, last;
        unsigned place;
        if (size >= 8) {
            memcpy(&first, text, 8);
            memcpy(&last, text + size - 8, 8);
        } else {
            memcpy(&first, text, (size_t)size);
            last = first;
        }
        place = edge_name_place(first, last, size);
        while (edge_places[place])
            place = (place + 1) & (EDGE_NAME_PLACES - 1);
        edge_places[place] = (unsigned char)number;
        edge_names[number].first = first;
        edge_names[number].last = last;
        edge_names[number].size = size;
        memcpy(edge_names[number].text, text, (size_t)size);
    }
    """
    Py_ssize_t name_stop "edge_name_end"(const unsigned char *text, Py_ssize_t i, Py_ssize_t size) noexcept nogil
    Py_ssize_t target_stop "edge_target_end"(const unsigned char *text, Py_ssize_t i, Py_ssize_t size) noexcept nogil
    bint head_ends "edge_head_ends"(const unsigned char *text, Py_ssize_t i, Py_ssize_t size) noexcept nogil
    bint is_word "edge_is"(const unsigned char *text, const char *word, Py_ssize_t size) noexcept nogil
    int method_of "edge_method"(const unsigned char *text, Py_ssize_t left) noexcept nogil
    int method_size "edge_method_size"(int method) noexcept nogil
    const unsigned char *is_token "edge_token"
    Py_ssize_t token_end "edge_token_end"(const unsigned char *text, Py_ssize_t i, Py_ssize_t size) noexcept nogil
    Py_ssize_t value_stop "edge_value_end"(const unsigned char *text, Py_ssize_t i, Py_ssize_t size) noexcept nogil
    int name_find "edge_name_find"(const unsigned char *text, Py_ssize_t size, Py_ssize_t left) noexcept nogil
    void name_add "edge_name_add"(const unsigned char *text, Py_ssize_t size, int number) noexcept nogil
    unsigned long long word "edge_word"(const unsigned char *text) noexcept nogil
