cimport cython

from edge._fast._line_c cimport Lines as CompiledLines

cdef bytes LINE
cdef tuple OPENAI, ANTHROPIC
cdef long long DOLLAR, MILLIONTH


@cython.final
cdef class LimitFields:
    cdef bytes _openai, _openai_reset, _anthropic, _anthropic_reset, _text
    cdef long long _moment

    cpdef begin(self, CompiledLines to, bint anthropic)
    @cython.locals(moment=double)
    cpdef end(self, CompiledLines to, bint anthropic, long long seconds, double now)


cpdef frozenset names_of(int kinds, bint anthropic)
cpdef write_dollars(CompiledLines to, long long amount)
