"""All tries of a request: one upstream after the other, until one gives content."""

from __future__ import annotations

import asyncio
import random
from time import perf_counter

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
from edge.upstreams.tried import Tried

__all__ = ["Dispatch"]

TOO_MANY = frozenset({429, 503, 529})
"""Statuses by which a provider says that it has more requests under way than it can serve."""
FULL = "The upstreams of this model have as many requests under way as they may; ask again."

MAX_KEYS = 8
"""Of one request: so often it is asked by another key of the same provider."""
BACKOFF_S, MAX_BACKOFF_S = 0.25, 2.0
"""Before the same upstream is asked again: any time up to the first, which doubles up to the second. "Full jitter":
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""
COUNT_S = 4.0
"""What providers have to count the tokens of a request, all of them together. Clients wait for it before a turn."""


class Dispatch(Outcome):
    """Tells `done` once: with None when the inquiry is answered, else with what nobody could mend."""

    def __init__(self, desk: Desk, inquiry: Inquiry, done: Done) -> None:
        self._desk = desk
        self._inquiry = inquiry
        self._done: Done | None = done
        self._candidates = Candidates(inquiry)
        self._failed = False
        self._keys = 0
        self._retries = 0
        self._delay = -1.0
        grant = inquiry.grant
        self._turns = (LENGTH if grant.context_length else 0) | (POLICY if grant.content_policy else 0)
        self._begun = 0.0
        self._tried: Tried | None = None
        self._attempt: Attempt | None = None
        self._job: Job | None = None
        self._place: Place | None = None
        self._timer: asyncio.TimerHandle | None = None
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
        self._begun = perf_counter()
        if self._candidates.next(self._begun, True):
            self._next()
        elif self._counts:
            self._estimate()
        elif self._candidates.full is None:
            self._finish(unavailable(self._inquiry.grant.upstreams, self._begun))
        elif not self._wait():
            self._finish(Overloaded(FULL))

    def cancel(self) -> None:
        """Nobody waits for the answer any more: what is under way is closed. `done` is not called."""
        if self._done is not None:
            attempt = self._attempt
            self._end()
            if attempt is not None:
                attempt.cancel()
                self._conclude(ClientClosedRequest())

    # Where all that could be asked have as many requests under way as they may.

    def _wait(self) -> bool:
        """Wait for a place at the first; False where there is no room to wait."""
        full = self._candidates.full
        gate = full[0].gates[full[1]] if full is not None else None
        if gate is None:
            return False
        self._place = gate.wait(self._inquiry.key.priority, self._came)
        if self._place is None:
            return False
        self._timer = asyncio.get_running_loop().call_later(gate.max_wait_s, self._came, False)
        return True

    def _came(self, came: bool) -> None:
        """A place, or the end of the wait."""
        self._inquiry.ledger.waited(self._begun)
        if not came:
            self._stop_waiting()
            self._finish(Overloaded(FULL))
            return
        self._place = None
        self._stop_waiting()
        try:
            self._begun = perf_counter()
            self._candidates.come(self._begun)
            self._next()
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            self._finish(defect)

    def _stop_waiting(self) -> None:
        place, timer, self._place, self._timer = self._place, self._timer, None, None
        if timer is not None:
            timer.cancel()
        if place is not None:
            place.leave()

    def _next(self) -> None:
        """Ask the one that was picked."""
        inquiry, candidates = self._inquiry, self._candidates
        upstream = candidates.upstream
        assert upstream is not None  # noqa: S101 - one was picked
        inquiry.ledger.attempts += 1
        if self._counts and not upstream.provider.speaks(inquiry.head.route):
            inquiry.ledger.upstream = upstream
            if candidates.trial is not None:
                candidates.trial.cancelled(self._begun)
            if candidates.gate is not None:
                candidates.gate.leave(self._begun)
            self._estimate_uncounted()
            return
        others_left = self._counts or candidates.left(self._begun)
        tried = self._tried = inquiry.ledger.attempt = Tried(
            upstream, candidates.account, candidates.trial, candidates.names, others_left
        )
        tried.gate = candidates.gate
        if self._turns and not (candidates.names or self._counts):
            grant = inquiry.grant
            if self._turns & LENGTH and candidates.leads(grant.context_length, self._begun):
                tried.turns |= LENGTH
            if self._turns & POLICY and candidates.leads(grant.content_policy, self._begun):
                tried.turns |= POLICY
        attempt = self._attempt = Attempt(self._desk, inquiry, self._deadline, self, tried)
        attempt.start()

    # As the outcome of an attempt.

    def passed(self, failure: AttemptFailed | None) -> None:
        self._attempt = None
        defect: Exception | None = None
        try:
            self._conclude(failure)
            if failure is not None:
                self._tell(failure, self._begun, True)
            else:
                self._desk.budget.successes += 1
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client waiting
            defect = error
        self._finish(defect)

    def failed(self, error: Exception) -> None:
        self._attempt = None
        try:
            self._conclude(error)
            self._judge(error)
        except Exception as defect:  # noqa: BLE001 - as above
            self._finish(defect)

    def _conclude(self, error: Exception | None) -> None:
        """For the upstream's record. A time that the client has set says nothing of the upstream."""
        tried = self._tried
        if tried is None:
            return
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
            gate.leave(now, (content_at or now) - self._begun if answered else 0.0, refused)

    def _judge(self, error: Exception) -> None:
        """Whom to ask next, or what to tell."""
        if self._done is None:
            return
        inquiry, tried = self._inquiry, self._tried
        follows = False
        if isinstance(error, ProviderError) and not self._counts:
            follows = (
                (not inquiry.started or inquiry.early)
                and not self._deadline.over()
                and (error.absent or tried is None or may_follow(tried, not error.refused))
            )
        elif isinstance(error, (AttemptFailed, ProviderError)):
            follows = not self._deadline.over()
        elif isinstance(error, InvalidRequest):
            # It cannot be said in that provider's dialect; another may speak the client's.
            follows = True
        begun = self._begun
        if follows:
            self._begun = perf_counter()
            if isinstance(error, UpstreamCredentials) and tried is not None:
                tried.refuse(self._begun)
            if isinstance(error, AttemptFailed) and error.turn:
                self._turns &= ~error.turn
                grant = inquiry.grant
                self._candidates.turn_to(grant.context_length if error.turn == LENGTH else grant.content_policy)
                follows = self._candidates.next(self._begun, True)
            elif tried is not None and tried.following is not None and self._keys < MAX_KEYS:
                self._keys += 1
                self._candidates.again(tried.following, self._begun)
            else:
                follows = self._candidates.next(self._begun, tried is not None and tried.others_left)
            mends = not isinstance(error, (UpstreamCredentials, InvalidRequest))
            if not follows and mends and (self._delay >= 0.0 or self.again(0)):
                follows = True
                self._timer = asyncio.get_running_loop().call_later(self._delay, self._ask_again)
        if isinstance(error, (AttemptFailed, ProviderError)):
            self._failed = True
            self._tell(error, begun, not follows)
        if self._timer is not None:
            self._tried = inquiry.ledger.attempt = None
        elif follows:
            self._tried = inquiry.ledger.attempt = None
            self._next()
        elif self._counts and isinstance(error, (AttemptFailed, ProviderError)):
            # Only where tokens are to be counted: whoever asks for that can do with an estimate.
            self._tried = inquiry.ledger.attempt = None
            self._estimate()
        elif isinstance(error, AttemptFailed):
            over = self._deadline.over()
            self._finish(UpstreamTimeout() if over else unavailable(inquiry.grant.upstreams, self._begun))
        elif isinstance(error, InvalidRequest) and self._failed and error.details is None:
            # One that could have answered it failed: it is worth asking again. Where there are details, an SDK knows by
            # them how to ask so that this one can answer.
            self._finish(NothingAvailable())
        else:
            if tried is not None and tried.spent and isinstance(error, ProviderError):
                error.headers = without_retry(error.headers)
            self._finish(error)

    def again(self, status: int) -> bool:
        """As `Outcome.again`. Where it is, ``_delay`` says after how many seconds."""
        tried, settings = self._tried, self._inquiry.state.settings.resilience
        rule = RULES.get(status)
        if tried is None or self._counts or not settings.retries or (status and (rule is None or not rule.again)):
            return False
        if tried.request is None or tried.following is not None or not may_follow(tried, rule is None or rule.taken):
            return False
        now = perf_counter()
        rest = tried.provider.resting(tried.upstream.model, now)[0]
        delay = rest + random.uniform(0.0, min(BACKOFF_S * 2**self._retries, MAX_BACKOFF_S))
        tried.spent = self._retries >= settings.retries
        if tried.spent or rest > settings.retry_wait_s or delay >= self._deadline.left():
            return False
        if not self._desk.budget.take(settings.retry_budget, now):
            tried.spent = True
            return False
        self._retries += 1
        self._delay = delay
        return True

    def _ask_again(self) -> None:
        self._timer = None
        self._delay = -1.0
        try:
            self._begun = perf_counter()
            self._candidates.again(None, self._begun)
            self._next()
        except Exception as defect:  # noqa: BLE001 - of ours: it must not leave a client waiting
            self._finish(defect)

    def _tell(self, failure: AttemptFailed | ProviderError, begun: float, ends: bool) -> None:
        following = None if ends else self._candidates.upstream
        if self._tried is not None:
            self._desk.hooks.attempt_failed(failed_attempt(self._inquiry, self._tried, failure, begun, following))

    def _expired(self, error: EdgeError) -> None:
        if self._attempt is not None:
            self._attempt.fail(error)
        elif self._place is not None:
            self._finish(error)

    # Where nobody counts tokens.

    def _estimate_uncounted(self) -> None:
        """Before a provider that counts no tokens. A part of a conversation that another one keeps is refused: what is
        here says little about the whole.
        """
        try:
            refuse_state_in(self._inquiry.payload.body, self._inquiry.payload.spans)
        except EdgeError as error:
            self.failed(error)
        else:
            self._estimate()

    def _estimate(self) -> None:
        self._job = estimate_count(self._inquiry, self._desk, self._finish)

    # Its end.

    def _finish(self, error: Exception | None) -> None:
        done = self._done
        self._end()
        if done is not None:
            done(error)

    def _end(self) -> None:
        self._deadline.close()
        self._stop_waiting()
        job, self._job, self._attempt, self._done = self._job, None, None, None
        if job is not None:
            job.cancel()
