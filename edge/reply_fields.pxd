# Lines of replies, for compiled modules.

cpdef bytes lead(bytes name)
cpdef bytes lines_of(list headers)
cpdef bint is_stream(list headers) except -1
