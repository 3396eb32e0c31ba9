from edge.call cimport Call
from edge.inquiry cimport Inquiry
from edge.upstreams.attempt cimport Attempt
from edge.upstreams.choice cimport Candidates
from edge.upstreams.clocks cimport Deadline
from edge.upstreams.desk cimport Desk, Outcome
from edge.upstreams.retry cimport conclude, may_follow
from edge.upstreams.tried cimport Tried

cdef int NEW, QUEUED, ASKING, RESTING, ESTIMATING, ENDED
cdef bytes MAY_FOLLOW


cdef class Dispatch(Outcome):
    cdef Desk _desk
    cdef public Inquiry _inquiry
    cdef Tried _tried
    cdef Attempt _attempt
    cdef Deadline _deadline
    cdef object _done, _job, _place, _timer
    cdef Candidates _candidates
    cdef public int _state
    cdef int _keys, _retries, _turns
    cdef double _since, _queued_s
    cdef bint _failed, _counts

    cpdef start(self)
    cpdef cancel(self)
    cpdef _enter(self, int state)
    cdef Deadline _begin(self)
    cdef _queue(self, double now)
    cdef _rest(self, double now, double delay)
    cpdef _came(self, bint came)
    cpdef _rested(self)
    cdef _stop_waiting(self)
    cdef bint _again(self, Tried tried, object account, double now) except -1
    cdef _ask(self, double now)
    cdef _conclude(self, Tried tried, object error)
    cdef _judge(self, Tried tried, object error)
    cdef _refusal(self, object error)
    cdef bint _may_follow(self, Tried tried, object error) except -1
    cdef int _following(self, Tried tried, object error, double now) except -1
    cdef _tell(self, Tried tried, object failure, object following)
    cpdef _expired(self, object error)
    cdef _estimate_uncounted(self)
    cdef _estimate(self)
    cpdef _finish(self, object error)
    cdef _end(self)
