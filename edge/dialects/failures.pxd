cimport cython

from edge._fast._usual_c cimport UsualAnswer as CompiledAnswer
from edge.dialects.openai cimport usage_counted
from edge.hooks cimport Usage

cdef CompiledAnswer USUAL


@cython.final
cdef class Shape:
    cdef readonly object usage, least, reader
    cdef readonly int form
    cdef bint _is_message

    cpdef Usage counted(self, CompiledAnswer found)


@cython.locals(shapes=dict, shape=Shape)
cpdef Usage usage_in_answer(str api, bytes media_type, bytes body)
