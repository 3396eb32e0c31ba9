cimport cython

from edge._fast._slots_c cimport Series as CompiledSeries
from edge.call cimport Call
from edge.dialects.crossing cimport Crossing
from edge.dialects.stream cimport Stream
from edge.hooks cimport Usage
from edge.inquiry cimport Books, Inquiry
from edge.ledger cimport Answered, Ledger, Source
from edge.memo cimport keep
from edge.money.pricing cimport ModelPrice
from edge.routes cimport Route


cdef double _PICO


@cython.final
cdef class Book:
    cdef object _bind
    cdef tuple _metrics, _labels
    cdef int _kind_at
    cdef list _series

    cpdef enter(self, Usage usage, object cost)
    cdef double _dollars(self, long long picos)
    @cython.locals(series=CompiledSeries)
    cdef _add(self, int number, double amount)


cdef class Accounts(Books):
    cdef object _count, _bind
    cdef dict _charged, _saved
    cdef Source _upstream
    cdef str _label, _tenant
    cdef Book _latest

    @cython.locals(price=ModelPrice, book=Book, counts=Usage, others=object)
    cpdef tuple charge(self, Source upstream, str model_label, str tenant, Usage usage)
    @cython.locals(book=Book)
    cpdef saved(self, str model_label, str tenant, str tier, Usage usage, object cost)
    @cython.locals(ledger=Ledger)
    cpdef saved_by(self, Call call, object cost)
    @cython.locals(ledger=Ledger, route=Route, upstream=Source, estimated=bint)
    cpdef settle(self, Inquiry inquiry, Answered tried, object error, bytes answer=*)
    @cython.locals(crossing=Crossing, stream=Stream, usage=Usage)
    cdef tuple _answered(self, Answered tried, str path, object error, bytes answer)


cdef bint cut_off(Answered tried, object error) except -1
