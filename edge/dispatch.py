"""All tries of a request: one upstream after the other, until one gives content."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from edge.call import Call
from edge.dialects.provider_state import refuse_state_in
from edge.errors import (
    ClientClosedRequest,
    EdgeError,
    InvalidRequest,
    NothingAvailable,
    Overloaded,
    ProviderError,
    UpstreamCredentials,
    UpstreamTimeout,
)
from edge.inquiry import Inquiry
from edge.own_answers import estimate_count
from edge.slices import Done, Job
from edge.upstreams.attempt import Attempt
from edge.upstreams.choice import Candidates
from edge.upstreams.clocks import Deadline
from edge.upstreams.desk import Desk, Outcome
from edge.upstreams.gate import Place
from edge.upstreams.retry import (
    LENGTH,
    POLICY,
    AttemptFailed,
    conclude,
    failed_attempt,
    may_follow,
    unavailable,
    without_retry,
)
from edge.upstreams.rules import RULES
from edge.upstreams.tried import NEVER, UNDECIDED, Tried

if TYPE_CHECKING:
    from edge.upstreams.provider import Account
    from edge.upstreams.router import Upstream

__all__ = ["Dispatch"]

TOO_MANY = frozenset({429, 503, 529})
"""Statuses by which a provider says that it has more requests under way than it can serve."""
FULL = "The upstreams of this model have as many requests under way as they may; ask again."

MAX_KEYS = 8
"""Of one request: so often it is asked by another key of the same provider."""
BACKOFF_S, MAX_BACKOFF_S = 0.25, 2.0
"""Before the same upstream is asked again: any time up to the first, which doubles up to the second. "Full jitter":
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""
# The states, by what is under way: nothing yet; a wait for a place at an upstream; an attempt; a wait before the same
# upstream is asked again; an estimate of the tokens; nothing any more.
NEW, QUEUED, ASKING, RESTING, ESTIMATING, ENDED = 0, 1, 2, 3, 4, 5
FOLLOWS = {
    NEW: (QUEUED, ASKING, ESTIMATING, ENDED),
    QUEUED: (QUEUED, ASKING, ENDED),
    ASKING: (QUEUED, ASKING, RESTING, ESTIMATING, ENDED),
    RESTING: (QUEUED, ASKING, ENDED),
    ESTIMATING: (ENDED,),
    ENDED: (),
}
MAY_FOLLOW = bytes(new in FOLLOWS[state] for state in FOLLOWS for new in FOLLOWS)  # a row of each state

LATE_S = 0.005
"""Clocks differ: so much later than it has asked for is an upstream asked again."""
COUNT_S = 4.0
"""What providers have to count the tokens of a request, all of them together. Clients wait for it before a turn."""


class Dispatch(Outcome):
    """Tells `done` once: with None when the inquiry is answered, else with what nobody could mend."""

    def __init__(self, desk: Desk, inquiry: Inquiry, done: Done) -> None:
        self._desk = desk
        self._inquiry = inquiry
        self._done: Done | None = done
        self._state = NEW
        self._candidates = Candidates(inquiry)
        self._failed = False
        self._keys = 0
        self._retries = 0
        grant = inquiry.grant
        self._turns = (LENGTH if grant.context_length else 0) | (POLICY if grant.content_policy else 0)
        self._tried: Tried | None = None
        self._attempt: Attempt | None = None
        self._job: Job | None = None
        self._place: Place | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._queued_s = 0.0
        self._counts = self._inquiry.head.route.counts
        self._deadline = self._begin()

    def _begin(self) -> Deadline:
        desk, inquiry = self._desk, self._inquiry
        payload = inquiry.payload
        deadline = Deadline(desk.sweep, inquiry.state.settings.resilience, self._expired, payload.deadline_ms)
        if self._counts:
            deadline.for_attempts(False, COUNT_S, self._candidates.size)
        else:
            deadline.for_attempts(payload.stream)
        if isinstance(inquiry, Call):  # the clients of a flight have clocks of their own
            deadline.keep_alive(inquiry, desk.replies.keep_alive)
        return deadline

    def start(self) -> None:
        """Ask the first upstream."""
        now = perf_counter()
        if self._candidates.next(now, True):
            self._ask(now)
        elif self._counts:
            self._estimate()
        else:
            self._queue(now)

    def cancel(self) -> None:
        """Nobody waits for the answer any more: what is under way is closed. `done` is not called."""
        if self._done is not None:
            attempt, tried = self._attempt, self._tried
            self._end()
            if attempt is not None and tried is not None:
                attempt.cancel()
                self._conclude(tried, ClientClosedRequest())

    def _enter(self, state: int) -> None:
        assert MAY_FOLLOW[self._state * (ENDED + 1) + state], (self._state, state)  # noqa: S101 - a defect of ours
        self._state = state

    # Waiting: for a place, where all that could be asked have as many requests under way as they may; and for the time
    # at which the same one is asked again.

    def _queue(self, now: float) -> None:
        """Wait for a place at the one that is full. Where nobody is, or there is no room to wait, it ends."""
        gate = self._candidates.full
        if gate is None:
            self._finish(unavailable(self._inquiry.grant.upstreams, now))
            return
        place = gate.wait(self._inquiry.key.priority, self._came)
        if place is None:
            self._finish(Overloaded(FULL))
            return
        self._enter(QUEUED)
        self._place = place
        self._wait(now, max(0.0, gate.max_wait_s - self._queued_s), self._came, False)

    def _rest(self, now: float, delay: float) -> None:
        """Ask the same upstream again, a little later."""
        self._enter(RESTING)
        self._wait(now, delay, self._rested)

    def _wait(self, now: float, seconds: float, then: Callable[..., None], *arguments: object) -> None:
        self._since = now
        self._deadline.wait()
        self._timer = asyncio.get_running_loop().call_later(seconds, then, *arguments)

    def _came(self, came: bool) -> None:
        """A place, or the end of the wait for it."""
        self._queued_s += perf_counter() - self._since
        self._stop_waiting()
        if not came:
            self._finish(Overloaded(FULL))
            return
        try:
            now = perf_counter()
            if self._candidates.come(now) or self._candidates.next(now, True):
                self._ask(now)
            else:
                self._queue(now)
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            self._finish(defect)

    def _rested(self) -> None:
        tried = self._tried
        self._stop_waiting()
        try:
            now = perf_counter()
            found = tried is not None and self._again(tried, None, now)
            if found or (self._candidates.full is None and self._candidates.next(now, True)):
                self._ask(now)
            else:
                self._queue(now)
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            self._finish(defect)

    def _stop_waiting(self) -> None:
        """What was waited is not the edge's own time."""
        place, timer, self._place, self._timer = self._place, self._timer, None, None
        if timer is not None:
            timer.cancel()
            self._inquiry.ledger.waited(self._since)
        if place is not None:
            place.leave()

    # Asking.

    def _again(self, tried: Tried, account: Account | None, now: float) -> bool:
        """Name the same upstream once more, by another account or as before; False where it cannot be asked now."""
        if account is None and self._candidates.tied:
            account = tried.account
        return self._candidates.again(tried.upstream, account, now)

    def _ask(self, now: float) -> None:
        """Ask the one that was picked."""
        inquiry, candidates = self._inquiry, self._candidates
        upstream = candidates.upstream
        assert upstream is not None  # noqa: S101 - one was picked
        inquiry.ledger.attempts += 1
        if self._counts and not upstream.provider.speaks(inquiry.head.route):
            inquiry.ledger.upstream = upstream
            if candidates.trial is not None:
                candidates.trial.cancelled(now)
            if candidates.gate is not None:
                candidates.gate.leave(now)
            self._estimate_uncounted()
            return
        left = self._counts or candidates.left(now)
        tried = self._tried = inquiry.ledger.attempt = Tried(
            upstream, candidates.account, candidates.trial, candidates.names, left, now
        )
        tried.gate = candidates.gate
        if self._turns and not (candidates.names or self._counts):
            grant = inquiry.grant
            if self._turns & LENGTH and candidates.leads(grant.context_length, now):
                tried.turns |= LENGTH
            if self._turns & POLICY and candidates.leads(grant.content_policy, now):
                tried.turns |= POLICY
        self._enter(ASKING)
        attempt = self._attempt = Attempt(self._desk, inquiry, self._deadline, self, tried)
        attempt.start()

    # As the outcome of an attempt.

    def passed(self, tried: Tried, failure: AttemptFailed | None) -> None:
        self._attempt = None
        defect: Exception | None = None
        try:
            self._conclude(tried, failure)
            if failure is not None:
                self._tell(tried, failure, None)
            else:
                self._desk.budget.successes += 1
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client waiting
            defect = error
        self._finish(defect)

    def failed(self, tried: Tried, error: Exception) -> None:
        self._attempt = None
        try:
            self._conclude(tried, error)
            self._judge(tried, error)
        except Exception as defect:  # noqa: BLE001 - as above
            self._finish(defect)

    def _conclude(self, tried: Tried, error: Exception | None) -> None:
        """For the upstream's record. A time that the client has set says nothing of the upstream."""
        if error is not None and isinstance(error, UpstreamTimeout):
            # Nor does one that the client has drawn out, or the short one of a count.
            theirs = self._inquiry.payload.deadline_ms or tried.content_s >= 0.0
            if self._counts or (theirs and self._deadline.over()):
                error = ClientClosedRequest()
        conclude(self._inquiry, tried, error)
        gate, tried.gate = tried.gate, None
        if gate is not None:
            now, content_at = perf_counter(), self._inquiry.ledger.content_at
            refused = tried.status in TOO_MANY or isinstance(error, UpstreamTimeout)
            answered = error is None and 200 <= tried.status < 300 and not self._counts
            seconds = (content_at or now) - tried.begun if answered else 0.0
            gate.leave(now, seconds, content_at > 0.0, refused)

    def _judge(self, tried: Tried, error: Exception) -> None:
        """Whom to ask next, or what to tell."""
        if self._done is None:
            return
        inquiry, candidates, now = self._inquiry, self._candidates, perf_counter()
        state = self._following(tried, error, now) if self._may_follow(tried, error) else ENDED
        if isinstance(error, (AttemptFailed, ProviderError)):
            self._failed = True
            self._tell(tried, error, candidates.upstream if state != ENDED else None)
        if state != ENDED:
            inquiry.ledger.attempt = None
        if state == ASKING:
            self._ask(now)
        elif state == QUEUED:
            self._queue(now)
        elif state == RESTING:
            self._rest(now, tried.delay)
        elif self._counts and isinstance(error, (AttemptFailed, ProviderError)):
            # Only where tokens are to be counted: whoever asks for that can do with an estimate.
            inquiry.ledger.attempt = None
            self._estimate()
        elif isinstance(error, AttemptFailed):
            over = self._deadline.over()
            self._finish(UpstreamTimeout() if over else unavailable(inquiry.grant.upstreams, now))
        else:
            if tried.spent and isinstance(error, ProviderError):
                error.headers = without_retry(error.headers)
            self._finish(self._refusal(error))

    def _refusal(self, error: Exception) -> Exception:
        """What to tell where the last one could not be asked. If one that could have answered failed before, it is
        worth asking again. Where there are details, an SDK knows by them how to ask so that this one can answer.
        """
        if isinstance(error, InvalidRequest) and self._failed and error.details is None:
            return NothingAvailable()
        return error

    def _may_follow(self, tried: Tried, error: Exception) -> bool:
        """Whether anybody may be asked after this."""
        if isinstance(error, ProviderError) and not self._counts:
            return (
                not self._inquiry.reply.has_answer()
                and not self._deadline.over()
                and (error.absent or may_follow(tried, not error.refused))
            )
        if isinstance(error, (AttemptFailed, ProviderError)):
            return not self._deadline.over()
        # What cannot be said in that provider's dialect another may be told, who speaks the client's.
        return isinstance(error, InvalidRequest)

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
        if tried.delay == UNDECIDED and isinstance(error, (AttemptFailed, ProviderError)):
            self.again(tried, said_of(tried, error))
        return RESTING if tried.delay >= 0.0 and not isinstance(error, UpstreamCredentials) else ENDED

    def again(self, tried: Tried, status: int) -> bool:
        """As `Outcome.again`. Where it is, ``Tried.delay`` says after how many seconds."""
        tried.delay = NEVER
        settings = self._inquiry.state.settings.resilience
        rule = RULES.get(status)
        if self._counts or not settings.retries or (status and (rule is None or not rule.again)):
            return False
        if tried.request is None or tried.following is not None or not may_follow(tried, rule is None or rule.taken):
            return False
        now = perf_counter()
        rest = tried.provider.resting(tried.upstream.model, now)[0]
        delay = random.uniform(0.0, min(BACKOFF_S * 2**self._retries, MAX_BACKOFF_S))
        if rest:
            delay += rest + LATE_S
        tried.spent = self._retries >= settings.retries
        if tried.spent or rest > settings.retry_wait_s or delay >= self._deadline.left():
            return False
        if not self._desk.budget.take(settings.retry_budget, now):
            self._desk.meter.count("edge_retry_budget_exhausted_total", tried.provider.name)
            tried.spent = True
            return False
        self._retries += 1
        tried.delay = delay
        return True

    def _tell(self, tried: Tried, failure: AttemptFailed | ProviderError, following: Upstream | None) -> None:
        self._desk.hooks.attempt_failed(failed_attempt(self._inquiry, tried, failure, tried.begun, following))

    def _expired(self, error: EdgeError) -> None:
        if self._state == ASKING and self._attempt is not None:
            self._attempt.fail(error)
        elif self._state in (QUEUED, RESTING):
            self._finish(error)

    # Where nobody counts tokens.

    def _estimate_uncounted(self) -> None:
        """Before a provider that counts no tokens. A part of a conversation that another one keeps is refused: what is
        here says little about the whole.
        """
        try:
            refuse_state_in(self._inquiry.payload.body, self._inquiry.payload.spans)
        except EdgeError as error:
            now = perf_counter()
            if self._candidates.next(now):
                self._ask(now)
            else:
                self._finish(self._refusal(error))
        else:
            self._estimate()

    def _estimate(self) -> None:
        self._enter(ESTIMATING)
        self._job = estimate_count(self._inquiry, self._desk, self._finish)

    # Its end.

    def _finish(self, error: Exception | None) -> None:
        done = self._done
        self._end()
        if done is not None:
            done(error)

    def _end(self) -> None:
        if self._state != ENDED:
            self._enter(ENDED)
        self._deadline.close()
        self._stop_waiting()
        job, self._job, self._attempt, self._done = self._job, None, None, None
        if job is not None:
            job.cancel()


def said_of(tried: Tried, error: AttemptFailed | ProviderError) -> int:
    """The status of what an attempt failed with, 0 where it is no answer."""
    if isinstance(error, AttemptFailed):
        return error.status
    return 0 if 200 <= tried.status < 300 else tried.status
