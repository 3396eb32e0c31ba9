cimport cython

from edge._fast._usual_c cimport UsualAnswer as CompiledAnswer

cdef CompiledAnswer USUAL


cdef class Shape:
    cdef readonly object usage, least, counted
    cdef readonly int form


@cython.locals(shape=Shape)
cpdef object usage_in_answer(str api, object reader, bytes media_type, bytes body)
