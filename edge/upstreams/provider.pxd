cimport cython

from edge._fast._fields_c cimport Fields as CompiledFields
from edge.clock cimport perf_counter
from edge.dialects.crossing cimport Crossing
from edge.head cimport Head
from edge.inquiry cimport Inquiry
from edge.routes cimport Route
from edge.upstreams.client_headers cimport ClientHeaders
from edge.upstreams.cooling cimport Cooling
from edge.upstreams.receiver cimport Transport
from edge.upstreams.request cimport UpstreamRequest


cdef dict METHODS
cdef Py_ssize_t MOST_TARGETS


@cython.final
cdef class Account:
    cdef readonly list values
    cdef readonly bytes own
    cdef readonly Cooling cooling
    cdef public CompiledFields said


@cython.final
cdef class Provider:
    cdef object __weakref__
    cdef readonly str name, dialect, base_url, vendor
    cdef readonly object site
    cdef public Transport transport
    cdef readonly bint has_own_models, claims_any, takes_turns
    cdef readonly tuple patterns, secrets
    cdef tuple _remaining
    cdef readonly list own_names
    cdef bint _system_first, _traces, _tells_state, _versioned
    cdef list _claims, _prices, _accounts, _betas
    cdef object _settings
    cdef str _path, _query
    cdef Py_ssize_t _turn
    cdef ClientHeaders _client
    cdef dict _targets

    cpdef bint searches(self, Route route) except -1
    cpdef bint speaks(self, Route route) except -1
    @cython.locals(crossing=Crossing, route=Route, api=str)
    cpdef Crossing crossing(self, Inquiry inquiry, str model, object facts, bint plain=*)
    @cython.locals(request=UpstreamRequest, head=Head, path=str, query=bytes, target=bytes, fields=bytes)
    cpdef UpstreamRequest request(self, Inquiry inquiry, Crossing crossing, Account account, bint once=*, str span=*)
    cpdef Account usable(self, Account account, str model, double now)
    cpdef Account fresh(self, str model, double now)
    @cython.locals(i=Py_ssize_t, account=Account)
    cpdef bint limited(self, str model, double now) except -1
    cpdef tuple resting(self, str model, double now)
    @cython.locals(name=bytes, left=bytes)
    cpdef double heed(self, Account account, str model, int status, CompiledFields fields, double now=*) except? -1
    cdef Account _next_account(self)
    cdef bytes _target(self, str path, bytes query, tuple names)
    cdef bytes _fields(self, Inquiry inquiry, Crossing crossing, str span)
    cdef bytes _lines(self, Inquiry inquiry, bytes lines, str span)
