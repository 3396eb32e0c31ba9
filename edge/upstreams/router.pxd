# An upstream, as compiled modules know it.

from edge.ledger cimport Source
from edge.upstreams.provider cimport Provider


cdef class Upstream(Source):
    cdef readonly str continues
    cdef readonly int seals
    cdef readonly tuple names
    cdef readonly object facts
    cdef readonly bint plain
    cdef readonly Provider provider
