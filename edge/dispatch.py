"""All tries of a request: one upstream after the other, until one gives content."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from edge.clock import perf_counter
from edge.errors import (
    ClientClosedRequest,
    EdgeError,
    Overloaded,
    ProviderError,
    Superseded,
    UpstreamCredentials,
    UpstreamTimeout,
)
from edge.guard.reservation import reserve
from edge.inquiry import Asker, Inquiry
from edge.own_answers import estimate_count, refusal_of_count
from edge.slices import Job
from edge.upstreams.again import delay_s
from edge.upstreams.attempt import Attempt
from edge.upstreams.choice import Candidates
from edge.upstreams.clocks import Deadline
from edge.upstreams.desk import Desk, Outcome
from edge.upstreams.rescue import rescue_for
from edge.upstreams.retry import (
    LENGTH,
    POLICY,
    AttemptFailed,
    conclude,
    failed_attempt,
    may_go_on,
    may_hedge,
    refusal,
    said_of,
    told,
    unavailable,
)
from edge.upstreams.standing import begun
from edge.upstreams.tried import NEVER, UNDECIDED, Tried
from edge.upstreams.waiting import FULL, Waiting

if TYPE_CHECKING:
    from edge.upstreams.provider import Account
    from edge.upstreams.router import Upstream

__all__ = ["Dispatch"]

MAX_KEYS = 8  # of one request: so often it is asked by another key of the same provider
# The states, by what is under way: nothing yet; a wait for a place at an upstream; an attempt; two attempts; a wait
# before the same upstream is asked again; a reservation for one more; an estimate of the tokens; nothing any more.
NEW, QUEUED, ASKING, HEDGED, RESTING, RESERVING, ESTIMATING, ENDED = 0, 1, 2, 3, 4, 5, 6, 7
FOLLOWS = {
    NEW: (QUEUED, ASKING, ESTIMATING, ENDED),
    QUEUED: (QUEUED, ASKING, ENDED),
    ASKING: (QUEUED, ASKING, HEDGED, RESTING, RESERVING, ESTIMATING, ENDED),
    HEDGED: (ASKING, ENDED),
    RESTING: (QUEUED, ASKING, ENDED),
    RESERVING: (ASKING, ENDED),
    ESTIMATING: (ENDED,),
    ENDED: (),
}
MAY_FOLLOW = bytes(new in FOLLOWS[state] for state in FOLLOWS for new in FOLLOWS)  # a row of each state


class Dispatch(Outcome):
    """Tells who asks, once."""

    def __init__(self, desk: Desk, inquiry: Inquiry, asker: Asker) -> None:
        self.begin(desk, inquiry, asker)

    def begin(self, desk: Desk, inquiry: Inquiry, asker: Asker) -> None:
        grant, state, route = inquiry.grant, inquiry.state, inquiry.head.route
        self._desk, self._inquiry = desk, inquiry
        self._asker: Asker | None = asker
        self._state, self._failed = NEW, False
        candidates = self._candidates = Candidates.__new__(Candidates)
        candidates.begin(inquiry)
        self._keys = self._retries = 0
        self._turns = (LENGTH if grant.context_length else 0) | (POLICY if grant.content_policy else 0)
        self._tried: Tried | None = None
        self._attempt: Attempt | None = None
        self._second_tried: Tried | None = None
        self._second: Attempt | None = None
        self._second_deadline: Deadline | None = None
        self._job: Job | None = None
        self._waiting: Waiting | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._counts = route.counts
        self._deadline = desk.deadline(inquiry, self, candidates.size)
        self._hedges = state.hedges and may_hedge(inquiry) and desk.hedges.counts()
        self._rescue = rescue_for(inquiry) if state.rescues else None

    def start(self) -> None:
        """Ask the first upstream."""
        now = begun(self._inquiry)
        if self._candidates.next(now, True):
            self._ask(now)
        elif self._counts:
            self._estimate()
        else:
            self._queue(now)

    def cancel(self) -> None:
        """Nobody waits for the answer any more: what is under way is closed. Nobody is told."""
        if self._asker is not None:
            under_way = ((self._attempt, self._tried), (self._second, self._second_tried))
            self._end()
            for attempt, tried in under_way:
                if attempt is not None and tried is not None:
                    attempt.cancel()
                    self._conclude(tried, ClientClosedRequest())

    def _enter(self, state: int) -> None:
        assert MAY_FOLLOW[self._state * (ENDED + 1) + state], (self._state, state)  # noqa: S101 - a defect of ours
        self._state = state

    # Waiting for a place, where all have as many requests in flight as they may, or for the time to ask one again.

    def _queue(self, now: float) -> None:
        """Wait for a place at the one that is full. Where nobody is, or there is no room to wait, it ends."""
        gate = self._candidates.full
        if gate is None:
            self._finish(unavailable(self._inquiry.grant.upstreams, now))
            return
        self._enter(QUEUED)
        if not self._wait().for_place(self._deadline, gate, self._inquiry.key.priority, now, self._came):
            self._came(False, now)

    def _wait(self) -> Waiting:
        if self._waiting is None:
            self._waiting = Waiting(self._inquiry.ledger)
        return self._waiting

    def _came(self, came: bool, now: float) -> None:
        """A place, which another one has left, or the end of the wait for it."""
        if came:
            self._go_on(None, now)
        else:
            self._finish(Overloaded(FULL))

    def _rested(self) -> None:
        self._wait().stop()
        self._go_on(self._tried, perf_counter())

    def _go_on(self, again: Tried | None, now: float) -> None:
        """Ask the same upstream `again`, or the one that has a place."""
        candidates = self._candidates
        try:
            found = candidates.come(now) if again is None else self._again(again, None, now)
            if found or (candidates.full is None and candidates.next(now, True)):
                self._ask(now)
            else:
                self._queue(now)
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            self._finish(defect)

    # Asking.

    def _again(self, tried: Tried, account: Account | None, now: float) -> bool:
        """Name the same upstream once more, by another account or as before; False where it cannot be asked now."""
        tried.rested_at = now
        account = tried.account if account is None and self._candidates.tied else account
        return self._candidates.again(tried.upstream, account, now)

    def _ask(self, now: float) -> None:
        """Ask the one that was picked."""
        inquiry, candidates, upstream = self._inquiry, self._candidates, self._candidates.upstream
        inquiry.ledger.attempts += 1
        if self._counts and upstream is not None and not upstream.provider.speaks(inquiry.head.route):
            inquiry.ledger.upstream = upstream
            candidates.give_back(now)
            self._estimate_uncounted(now)
            return
        tried = self._tried = inquiry.ledger.attempt = self._picked(now)
        self._enter(ASKING)
        attempt = self._attempt = Attempt.__new__(Attempt)
        attempt.begin(self._desk, inquiry, self._deadline, self, tried)
        attempt.start()
        if self._hedges and not tried.quiet and self._attempt is attempt:  # one that continues a text is asked alone
            late_s = tried.provider.site.member(tried.upstream.model).late_s(inquiry.payload.stream)
            if late_s >= 0.0:
                self._timer = asyncio.get_running_loop().call_later(late_s, self._late)

    def _picked(self, now: float) -> Tried:
        """What the attempt at the one that was picked is made of."""
        grant, candidates = self._inquiry.grant, self._candidates
        self._desk.routed(candidates, now)
        left = self._counts or candidates.left(now)
        assert candidates.upstream is not None  # noqa: S101 - one was picked
        tried = Tried.__new__(Tried)
        tried.begin(candidates.upstream, candidates.account, candidates.trial, candidates.names, left, now)
        tried.gate, tried.rescue = candidates.gate, self._rescue
        if self._rescue is not None and self._rescue.begun is not None:
            tried.quiet = True
        elif self._turns and not (candidates.names or self._counts):
            if self._turns & LENGTH and candidates.leads(grant.context_length, now):
                tried.turns |= LENGTH
            if self._turns & POLICY and candidates.leads(grant.content_policy, now):
                tried.turns |= POLICY
        return tried

    # A second attempt, beside one that is later than nearly all answers of its upstream.

    def _late(self) -> None:
        self._timer = None
        if self._desk.hedges.take(self._inquiry.state.resilience.hedge.budget):
            reserve(self._inquiry, partial(self._ask_beside, self._tried))

    def _ask_beside(self, tried: Tried | None, refusal: EdgeError | None) -> None:
        """What a second one may cost is reserved, or is not. Meanwhile the first may have its answer."""
        first, now = self._attempt, perf_counter()
        try:
            late = refusal is not None or tried is not self._tried or self._inquiry.reply.has_answer()
            if first is None or tried is None or late or not self._candidates.beside(now):
                self._desk.hedges.give_back()
                return
            self._hedges = False
            self._inquiry.ledger.attempts += 1
            second = self._second_tried = self._picked(now)
            tried.quiet = second.quiet = True
            first.split()
            deadline = self._second_deadline = self._deadline.beside(self)
            self._enter(HEDGED)
            attempt = self._second = Attempt(self._desk, self._inquiry, deadline, self, second)
            attempt.start()
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            asker = self._asker
            self.cancel()
            if asker is not None:
                asker.fetched(self._inquiry, defect)

    def wins(self, tried: Tried) -> None:
        self._stop_timer()
        if self._state == HEDGED:
            self._hedged("won" if tried is self._second_tried else "lost")
            other, lost = self._leave(tried)
            other.cancel(Superseded())
            self._conclude(lost, Superseded())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self, tried: Tried) -> tuple[Attempt, Tried]:
        """Only this attempt is left; returns the other one."""
        attempt, other, deadline = self._second, self._second_tried, self._second_deadline
        self._second = self._second_tried = self._second_deadline = None
        if other is tried:
            attempt, self._attempt = self._attempt, attempt
            other, self._tried = self._tried, other
            deadline, self._deadline = self._deadline, deadline
            self._deadline.take_over(deadline)
        assert attempt is not None and other is not None and deadline is not None  # noqa: S101, PT018 - there are two
        deadline.close()
        self._enter(ASKING)
        tried.quiet = False
        ledger = self._inquiry.ledger
        ledger.upstream, ledger.attempt = tried.upstream, tried
        return attempt, other

    def _hedged(self, outcome: str) -> None:
        second = self._second_tried
        assert second is not None  # noqa: S101 - it has an outcome
        self._inquiry.ledger.hedge = outcome
        self._desk.meter.count("edge_hedges_total", second.provider.name, outcome)

    def _failed_beside(self, tried: Tried, error: Exception) -> None:
        """One of two has failed; the other goes on."""
        left = self._tried if tried is self._second_tried else self._second_tried
        assert left is not None  # noqa: S101 - there are two
        self._hedged("failed" if tried is self._second_tried else "won")
        self._leave(left)
        self._conclude(tried, error)
        left.left = self._candidates.left(tried.ended)
        if isinstance(error, UpstreamCredentials):
            tried.refuse(tried.ended)
        self._tell(tried, error, left.upstream)

    # As the outcome of an attempt.

    def passed(self, tried: Tried, failure: AttemptFailed | None) -> None:
        self._attempt = None
        defect: Exception | None = None
        try:
            self._conclude(tried, failure)
            self._tell(tried, failure, None)
            if failure is None:
                self._desk.budget.successes += 1
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client waiting
            defect = error
        self._finish(defect)

    def failed(self, tried: Tried, error: Exception) -> None:
        if self._state == HEDGED:
            self._failed_beside(tried, error)
            return
        self._attempt = None
        self._stop_timer()
        try:
            self._conclude(tried, error)
            self._judge(tried, error)
        except Exception as defect:  # noqa: BLE001 - as above
            self._finish(defect)

    def _conclude(self, tried: Tried, error: Exception | None) -> None:
        """For the upstream's record, and that of the rescue."""
        conclude(self._inquiry, tried, error, error is not None and self._deadline.over())
        if self._rescue is not None and self._rescue.begun is not None:
            self._rescue.over(error is None)
            self._desk.meter.count("edge_rescues_total", tried.provider.name, "ok" if error is None else "failed")

    def _judge(self, tried: Tried, error: Exception) -> None:
        """Whom to ask next, or what to tell. It is decided by how matters stood when the attempt ended, whenever this
        process has its turn.
        """
        if self._asker is None:
            return
        over, rescue, now = self._deadline.over(), self._rescue, tried.ended
        if may_go_on(self._inquiry, tried, error, over):
            self._follow(tried, error, self._following(tried, error, now), now)
        elif rescue is not None and not over and rescue.begins(error):
            self._enter(RESERVING)
            self._wait().for_word(self._deadline)
            reserve(self._inquiry, partial(self._continue, tried, error))
        else:
            self._follow(tried, error, ENDED, now)

    def _continue(self, tried: Tried, error: Exception, refusal: EdgeError | None) -> None:
        """What a rescue may cost is reserved, or is not."""
        if self._state != RESERVING:
            return
        self._wait().stop()
        try:
            now = perf_counter()
            goes_on = refusal is None and not self._deadline.over() and self._candidates.continues(now)
            self._follow(tried, error, ASKING if goes_on else ENDED, now)
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            self._finish(defect)

    def _follow(self, tried: Tried, error: Exception, state: int, now: float) -> None:
        """Go on after a failure in this state. Where it is ASKING, the next one is named."""
        inquiry, candidates, rescue = self._inquiry, self._candidates, self._rescue
        self._tell(tried, error, candidates.upstream if state != ENDED else None)
        if state != ENDED:
            inquiry.ledger.attempt = None
        if state == ASKING:
            self._ask(now)
        elif state == QUEUED:
            self._queue(now)
        elif state == RESTING:
            self._enter(RESTING)
            self._wait().for_time(self._deadline, tried.delay, self._rested)
        elif self._counts and isinstance(error, (AttemptFailed, ProviderError)):
            # Only where tokens are to be counted: whoever asks for that can do with an estimate.
            inquiry.ledger.attempt = None
            self._estimate()
        elif rescue is not None and rescue.first is not None and isinstance(error, (AttemptFailed, EdgeError)):
            self._finish(rescue.first)
        else:
            self._finish(told(inquiry, tried, error, self._failed, self._deadline.over()))

    def _following(self, tried: Tried, error: Exception, now: float) -> int:
        """The state to go on in. Where it is ASKING, the next one is named."""
        candidates, grant = self._candidates, self._inquiry.grant
        if isinstance(error, UpstreamCredentials):
            tried.refuse(now)
        if isinstance(error, AttemptFailed) and error.turn:
            self._turns &= ~error.turn
            candidates.turn_to(grant.context_length if error.turn == LENGTH else grant.content_policy)
            found = candidates.next(now, True)
        elif tried.following is not None and self._keys < MAX_KEYS:
            self._keys += 1
            found = self._again(tried, tried.following, now)
            if not found and candidates.full is None:
                found = candidates.next(now, tried.left)
        else:
            found = candidates.next(now, tried.left)
        if found:
            return ASKING
        if candidates.full is not None and not self._counts:
            return QUEUED
        silent = isinstance(error, UpstreamTimeout)  # it has had its time, and may be at work
        if tried.delay == UNDECIDED and not silent and isinstance(error, (AttemptFailed, ProviderError)):
            self.again(tried, said_of(tried, error), now)
        return RESTING if tried.delay >= 0.0 and not isinstance(error, UpstreamCredentials) else ENDED

    def again(self, tried: Tried, status: int, now: float) -> bool:
        """As `Outcome.again`. Where it is, ``Tried.delay`` says after how many seconds."""
        settings, left_s = self._inquiry.state.resilience, self._deadline.left()
        tried.delay = NEVER
        if not self._counts and (tried.request is None or not tried.request.is_gone()):
            tried.delay = delay_s(tried, status, self._retries, settings, self._desk.budget, left_s, now)
        if tried.spent and self._retries < settings.retries:
            self._desk.meter.count("edge_retry_budget_exhausted_total", tried.provider.name)
        self._retries += tried.delay >= 0.0
        return tried.delay >= 0.0

    def _tell(self, tried: Tried, error: Exception | None, following: Upstream | None) -> None:
        if error is not None and isinstance(error, (AttemptFailed, ProviderError)):
            self._failed = True
            self._desk.hooks.attempt_failed(failed_attempt(self._inquiry, tried, error, following))

    def expired(self, deadline: Deadline, error: EdgeError) -> None:
        if deadline is self._second_deadline and self._second is not None:
            self._second.fail(error)
        elif self._state in (ASKING, HEDGED) and self._attempt is not None:
            self._attempt.fail(error)
        elif self._state in (QUEUED, RESTING, RESERVING):
            self._finish(error)

    # Where nobody counts tokens.

    def _estimate_uncounted(self, now: float) -> None:
        """Before a provider that counts no tokens."""
        error = refusal_of_count(self._inquiry)
        if error is None:
            self._estimate()
        elif self._candidates.next(now):
            self._ask(now)
        else:
            self._finish(refusal(error, self._failed))

    def _estimate(self) -> None:
        self._enter(ESTIMATING)
        self._job = estimate_count(self._inquiry, self._desk, self._finish)

    def _finish(self, error: Exception | None) -> None:
        asker = self._asker
        self._end()
        if asker is not None:
            asker.fetched(self._inquiry, error)

    def _end(self) -> None:
        self._stop_timer()
        if self._waiting is not None:
            self._waiting.stop()
        if self._state != ENDED:
            self._enter(ENDED)
        self._deadline.close()
        if self._second_deadline is not None:
            self._second_deadline.close()
        job, self._job, self._attempt, self._second, self._asker = self._job, None, None, None, None
        if job is not None:
            job.cancel()
