cimport cython

from edge._fast._slots_c cimport Series as CompiledSeries
from edge.clock cimport perf_counter
from edge.cache.answers cimport Answers
from edge.cache.memory cimport Held
from edge.cache.policy cimport Lookup, Plan, caches_for
from edge.call cimport Call
from edge.dispatch cimport Dispatch
from edge.grant cimport Grant
from edge.guard.auth cimport Key
from edge.guard.expected cimport check_known, expected_input, expected_output
from edge.guard.limits cimport KeyLimits, Lease
from edge.guard.logins cimport FailedLogins
from edge.guard.counts cimport Counts
from edge.guard.reservation cimport Reservation, reservation_of
from edge.guard.validate cimport Reading, check_body, reading_of
from edge.head cimport Head
from edge.hooks cimport Hooks
from edge.inquiry cimport Asker, Inquiry
from edge.joining cimport Joining
from edge.money.accounting cimport Accounts
from edge.payload cimport Payload
from edge.record cimport record_of
from edge.replies cimport fail, serve
from edge.routes cimport Route
from edge.state cimport State
from edge.upstreams.clocks cimport Sweep
from edge.upstreams.desk cimport Buffers, Desk


cdef Py_ssize_t LARGE


cdef class Gateway(Asker):
    cdef dict __dict__
    cdef public State state
    cdef public Hooks hooks
    cdef readonly Answers answers
    cdef readonly Accounts accounts
    cdef readonly KeyLimits limits
    cdef readonly Counts counts
    cdef public Sweep _sweep
    cdef public Buffers _buffers
    cdef public Py_ssize_t _in_flight
    cdef public bint draining
    cdef readonly set under_way
    cdef readonly FailedLogins logins
    cdef CompiledSeries _now_in_flight, _hit, _missed, _scanned
    cdef object _conversations, _slices, _count, _changing, _table
    cdef tuple _witnesses
    cdef Desk _desk

    @cython.locals(state=State, head=Head, route=Route, key=Key, found=Key, lease=Lease)
    cpdef open(self, Call call)
    cpdef hold(self, Call call, Py_ssize_t size)
    cpdef admit(self, Call call)
    @cython.locals(grant=Grant)
    cdef _admit(self, Call call, Reading reading)
    @cython.locals(state=State, grant=Grant, head=Head, kept=Grant)
    cdef Grant _grant(self, Call call, Reading reading)
    cdef bint _is_changed(self, Call call, object work) except? -1
    @cython.locals(grant=Grant, plan=Plan, route=Route)
    cdef _look_up(self, Call call)
    @cython.locals(payload=Payload, held=Held)
    cdef _recall(self, Call call, Lookup lookup)
    cpdef fetch(self, Call call)
    cpdef _inflated(self, Call call, object work, object error)
    @cython.locals(reading=Reading)
    cdef _begin(self, Call call)
    cpdef go_along(self, Call call, Reading reading)
    cpdef _read_large(self, Call call, Reading reading, bint seen, object error)
    cpdef _redacted_large(self, Call call, object work, object error)
    cdef _go_on(self, Call call)
    @cython.locals(reservation=Reservation)
    cdef _send(self, Call call)
    cpdef _reserved(self, Call call, double since, object refusal)
    @cython.locals(route=Route, dispatch=Dispatch, joining=Joining)
    cdef _ask(self, Call call)
    @cython.locals(call=Call)
    cpdef fetched(self, Inquiry inquiry, object error)
    cpdef _over(self, Call call, object error)
    cpdef cancel(self, Call call, object error)
    cpdef refuse(self, Call call, object error)
    @cython.locals(lease=Lease)
    cpdef _settle(self, Call call)
