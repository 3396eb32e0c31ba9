cimport cython

from edge._fast._slots_c cimport Series as CompiledSeries


@cython.final
cdef class Decisions:
    cdef object _meter
    cdef str _limit
    cdef CompiledSeries _admitted

    @cython.locals(series=CompiledSeries)
    cpdef admitted(self)
    cpdef other(self, str decision)
