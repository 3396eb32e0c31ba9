cdef class Tried:
    cdef readonly object upstream, account
    cdef readonly bint names, others_left
    cdef public object crossing, request, usage
    cdef public int status
    cdef public bint charged

    cpdef object error_event(self, object error, str request_id)
