# What answers cost, for compiled modules.

cimport cython

from edge.hooks cimport Usage


cdef long long MUCH


@cython.final
cdef class ModelPrice:
    cdef readonly str id, vendor
    cdef readonly object input, output, cache_read, cache_write, cache_write_long
    cdef readonly object audio_input, audio_output, image_input, image_output
    cdef readonly object request, web_search, context_window
    cdef readonly dict factors
    cdef long long _input, _output, _request
    cdef str _tier, _speed, _geo
    cdef object _factor

    cpdef object cost(self, Usage usage, object price_of=*)
    cpdef long long plain(self, long long input_tokens, long long output_tokens)
    @cython.locals(
        fresh=cython.longlong, read=cython.longlong, written=cython.longlong, output=cython.longlong,
        size=cython.longlong, long=cython.longlong, heard=cython.longlong, seen=cython.longlong,
        spoken=cython.longlong, drawn=cython.longlong, apart=cython.longlong,
    )
    cpdef object tokens(self, Usage usage)
    cpdef object at_terms(self, object cost, Usage usage)
    cdef object _factor_of(self, Usage usage)


cpdef Usage without(Usage usage, Usage part)
cdef long long steady(object rate) except? -1
cpdef object at(object rate, long long input_tokens, object otherwise)
