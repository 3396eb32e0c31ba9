cimport cython

from edge.clock cimport perf_counter
from edge.inquiry cimport Asker, Inquiry
from edge.routes cimport Route
from edge.terms cimport Granted, Terms
from edge.upstreams.attempt cimport Attempt
from edge.upstreams.choice cimport Candidates
from edge.upstreams.clocks cimport Deadline
from edge.upstreams.desk cimport Desk, Outcome
from edge.upstreams.retry cimport conclude, may_go_on, said_of
from edge.upstreams.router cimport Upstream
from edge.upstreams.standing cimport begun
from edge.upstreams.tried cimport Tried

cdef int NEW, QUEUED, ASKING, HEDGED, RESTING, RESERVING, ESTIMATING, ENDED
cdef bytes MAY_FOLLOW
cdef int LENGTH, POLICY


cdef class Dispatch(Outcome):
    cdef Desk _desk
    cdef public Inquiry _inquiry
    cdef Tried _tried, _second_tried
    cdef Attempt _attempt, _second
    cdef Deadline _deadline, _second_deadline
    cdef Asker _asker
    cdef object _job, _waiting, _timer, _rescue
    cdef Candidates _candidates
    cdef public int _state
    cdef int _keys, _retries, _turns
    cdef bint _failed, _counts, _hedges

    @cython.locals(grant=Granted, state=Terms, route=Route, candidates=Candidates)
    cpdef begin(self, Desk desk, Inquiry inquiry, Asker asker)
    cpdef start(self)
    cpdef cancel(self)
    cpdef _enter(self, int state)
    cdef _queue(self, double now)
    cdef object _wait(self)
    cpdef _came(self, bint came, double now)
    cpdef _rested(self)
    cdef _go_on(self, Tried again, double now)
    cdef _stop_timer(self)
    cdef bint _again(self, Tried tried, object account, double now) except -1
    @cython.locals(inquiry=Inquiry, candidates=Candidates, upstream=Upstream, tried=Tried, attempt=Attempt)
    cdef _ask(self, double now)
    @cython.locals(grant=Granted, candidates=Candidates, left=bint, tried=Tried)
    cdef Tried _picked(self, double now)
    cpdef _late(self)
    @cython.locals(first=Attempt)
    cpdef _ask_beside(self, Tried tried, object refusal)
    @cython.locals(attempt=Attempt, other=Tried, deadline=Deadline)
    cdef tuple _leave(self, Tried tried)
    cdef _hedged(self, str outcome)
    @cython.locals(left=Tried)
    cdef _failed_beside(self, Tried tried, object error)
    cdef _conclude(self, Tried tried, object error)
    cdef _judge(self, Tried tried, object error)
    cpdef _continue(self, Tried tried, object error, object refusal)
    cdef _follow(self, Tried tried, object error, int state, double now)
    cdef int _following(self, Tried tried, object error, double now) except -1
    cdef _tell(self, Tried tried, object failure, object following)
    cpdef expired(self, Deadline deadline, object error)
    cdef _estimate_uncounted(self, double now)
    cdef _estimate(self)
    @cython.locals(asker=Asker)
    cpdef _finish(self, object error)
    cdef _end(self)
