from edge.call cimport Call
from edge.inquiry cimport Inquiry
from edge.upstreams.attempt cimport Attempt
from edge.upstreams.choice cimport Candidates
from edge.upstreams.clocks cimport Deadline
from edge.upstreams.desk cimport Desk, Outcome
from edge.upstreams.retry cimport conclude, may_follow
from edge.upstreams.tried cimport Tried


cdef class Dispatch(Outcome):
    cdef Desk _desk
    cdef public Inquiry _inquiry
    cdef Tried _tried
    cdef Attempt _attempt
    cdef Deadline _deadline
    cdef object _done, _job, _place, _timer
    cdef Candidates _candidates
    cdef int _keys, _retries, _turns
    cdef double _delay
    cdef bint _failed, _counts
    cdef double _begun

    cpdef start(self)
    cpdef cancel(self)
    cdef Deadline _begin(self)
    cdef _next(self)
    cdef bint _wait(self) except -1
    cpdef _came(self, bint came)
    cdef _stop_waiting(self)
    cpdef bint again(self, int status) except -1
    cpdef _ask_again(self)
    cdef _conclude(self, object error)
    cdef _judge(self, object error)
    cdef _tell(self, object failure, double begun, bint ends)
    cpdef _expired(self, object error)
    cdef _estimate_uncounted(self)
    cdef _estimate(self)
    cpdef _finish(self, object error)
    cdef _end(self)
