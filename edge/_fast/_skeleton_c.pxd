# Texts that are alike, for who walks over them. The sizes are those of `answer_forms.PLACES` and `MOST_GAPS`.

cdef class Skeleton:
    cdef bytes fixed
    cdef str tier, speed, geo
    cdef int gaps
    # Of what stands before each gap, and behind the last.
    cdef Py_ssize_t sizes[129]
    cdef int kinds[128]
    cdef Py_ssize_t ends[128]
    cdef long long counts[12]

    cdef bint fits(self, bytes body) except -1
