"""All tries of a request: one upstream after the other, until one gives content."""

from __future__ import annotations

from time import perf_counter

from edge.call import Call
from edge.dialects.provider_state import refuse_state_in
from edge.errors import EdgeError, InvalidRequest, NothingAvailable, ProviderError, UpstreamTimeout
from edge.inquiry import Inquiry
from edge.own_answers import estimate_count
from edge.slices import Done, Job
from edge.upstreams.attempt import Attempt
from edge.upstreams.clocks import Deadline
from edge.upstreams.desk import Desk, Outcome
from edge.upstreams.provider import Account
from edge.upstreams.retry import AttemptFailed, failed_attempt, may_follow
from edge.upstreams.router import Upstream
from edge.upstreams.ties import targets_of
from edge.upstreams.tried import Tried

__all__ = ["Dispatch"]

COUNT_S = 4.0
"""What providers have to count the tokens of a request, all of them together. Clients wait for it before a turn."""


class Dispatch(Outcome):
    """Tells `done` once: with None when the inquiry is answered, else with what nobody could mend."""

    def __init__(self, desk: Desk, inquiry: Inquiry, done: Done) -> None:
        self._desk = desk
        self._inquiry = inquiry
        self._done: Done | None = done
        self._targets, self._names = targets_of(inquiry)
        self._at = 0
        self._failed = False
        self._begun = 0.0
        self._tried: Tried | None = None
        self._attempt: Attempt | None = None
        self._job: Job | None = None
        self._counts = self._inquiry.head.route.counts
        self._deadline = self._begin()

    def _begin(self) -> Deadline:
        desk, inquiry = self._desk, self._inquiry
        payload = inquiry.payload
        deadline = Deadline(desk.sweep, inquiry.state.settings.resilience, self._expired, payload.deadline_ms)
        if self._counts:
            deadline.for_attempts(False, COUNT_S, len(self._targets))
        else:
            deadline.for_attempts(payload.stream)
        if isinstance(inquiry, Call):  # the clients of a flight have clocks of their own
            deadline.keep_alive(inquiry, desk.replies.keep_alive)
        return deadline

    def start(self) -> None:
        """Ask the first upstream."""
        self._next()

    def cancel(self) -> None:
        """Nobody waits for the answer any more: what is under way is closed. `done` is not called."""
        if self._done is not None:
            attempt = self._attempt
            self._end()
            if attempt is not None:
                attempt.cancel()

    def _next(self) -> None:
        inquiry = self._inquiry
        upstream, account = self._targets[self._at]
        self._at += 1
        inquiry.attempts += 1
        self._begun = perf_counter()
        if self._counts and not upstream.provider.speaks(inquiry.head.route):
            inquiry.upstream = upstream
            self._estimate_uncounted()
            return
        self._ask(upstream, account)

    def _ask(self, upstream: Upstream, account: Account | None) -> None:
        inquiry = self._inquiry
        others_left = self._at < len(self._targets) or self._counts
        tried = self._tried = inquiry.attempt = Tried(upstream, account, self._names, others_left)
        attempt = Attempt(self._desk, inquiry, self._deadline, self, tried)
        self._attempt = attempt
        attempt.start()

    # As the outcome of an attempt.

    def passed(self, failure: AttemptFailed | None) -> None:
        self._attempt = None
        defect: Exception | None = None
        try:
            if failure is not None:
                self._tell(failure, True)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client waiting
            defect = error
        self._finish(defect)

    def failed(self, error: Exception) -> None:
        self._attempt = None
        try:
            self._judge(error)
        except Exception as defect:  # noqa: BLE001 - as above
            self._finish(defect)

    def _judge(self, error: Exception) -> None:
        """Whom to ask next, or what to tell."""
        if self._done is None:
            return
        inquiry = self._inquiry
        last, counts = self._at == len(self._targets), self._counts
        if isinstance(error, AttemptFailed):
            self._failed = True
            ends = last or self._deadline.over()
            self._tell(error, ends)
            if ends and not counts:
                self._finish(UpstreamTimeout())
                return
        elif isinstance(error, InvalidRequest):
            # It cannot be said in that provider's dialect; another may speak the client's.
            if last and self._failed and error.details is None:
                # One that could have answered it failed: it is worth asking again. Where there are details, an SDK
                # knows by them how to ask so that this one can answer.
                self._finish(NothingAvailable())
                return
            if last:
                self._finish(error)
                return
        elif isinstance(error, ProviderError):
            self._failed = True
            ends = (
                (inquiry.started and not inquiry.early)
                or last
                or self._deadline.over()
                or not (error.absent or self._tried is None or may_follow(self._tried, not error.refused))
            )
            self._tell(error, ends)
            if ends and not counts:
                self._finish(error)
                return
        else:
            self._finish(error)
            return
        self._tried = inquiry.attempt = None
        if last or (counts and self._deadline.over()):
            # Only where tokens are to be counted: whoever asks for that can do with an estimate.
            self._estimate()
        else:
            self._next()

    def _tell(self, failure: AttemptFailed | ProviderError, ends: bool) -> None:
        following = None if ends else self._targets[self._at][0]
        if self._tried is not None:
            self._desk.hooks.attempt_failed(failed_attempt(self._inquiry, self._tried, failure, self._begun, following))

    def _expired(self, error: EdgeError) -> None:
        if self._attempt is not None:
            self._attempt.fail(error)

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
        job, self._job, self._attempt, self._done = self._job, None, None, None
        if job is not None:
            job.cancel()
