# The text in bodies that are alike, for compiled modules. The size is that of `MOST_GAPS`.

from edge._fast._json_scanned_c cimport Scanned
from edge._fast._skeleton_c cimport Skeleton


cdef class BodyText:
    cdef readonly long long messages, tools, images
    cdef readonly bint thinks
    cdef long long _fixed
    cdef list _said
    cdef int _kinds[128]

    cdef bint measure(self, Skeleton skeleton, bytes body, Scanned scan) except -1
