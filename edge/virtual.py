"""A request of a trace on its way to providers, on a virtual clock."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import NamedTuple

from edge._fast import Fields
from edge.dispatch import MAX_KEYS
from edge.errors import ProviderError, UpstreamCredentials, UpstreamTimeout
from edge.grant import Grant
from edge.guard.auth import Key
from edge.head import Head
from edge.inquiry import UNREAD, Inquiry
from edge.routes import Dialect, Match
from edge.state import State
from edge.telemetry.trace_file import SECOND_NS, Traced, reading_of
from edge.trace import Answer, Recorded
from edge.upstreams.again import BACKOFF_S, MAX_BACKOFF_S, delay_s
from edge.upstreams.budget import RetryBudget
from edge.upstreams.choice import Candidates
from edge.upstreams.likeness import size_for
from edge.upstreams.provider import Account
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.retry import LENGTH, POLICY, TOO_MANY, unavailable
from edge.upstreams.router import Upstream
from edge.upstreams.rules import RULES
from edge.upstreams.tried import UNDECIDED, Tried
from edge.upstreams.waits import BY_DIALECT

__all__ = ["Asking", "Clock", "Virtual"]


NEAR_S = 0.01
"""An attempt that begins so near to the one of the trace is that one: a worker's loop turns meanwhile."""


class Clock:
    """A virtual clock: what is to happen, in the order of its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def call_at(self, at: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(at, self.now), next(self._order), what))

    def run(self) -> None:
        while self._events:
            self.now, _, what = heapq.heappop(self._events)
            what()


class Virtual(NamedTuple):
    """What all requests of a replay have in common; ``over`` is told of one that has its answer, and of its status."""

    clock: Clock
    providers: Recorded
    dice: random.Random
    over: Callable[[Asking, int], None]


class Replayed(Candidates):
    """The candidates of a request of which there is a line of a trace."""

    def __init__(self, inquiry: Inquiry, line: Traced) -> None:
        self._line = line
        super().__init__(inquiry)

    def tie(self) -> int:
        return self._line.tie

    def prefix(self) -> int:
        return int(self._line.prefix or "0", 16)

    def tokens(self) -> int:
        return size_for(self._line.size, self._line.most_tokens)


class Asking:
    """A request in flight: what `edge.dispatch.Dispatch` does, with the same candidates, places, budget and records of
    the upstreams, whose answers come from the trace. It tells `done` its status.
    """

    def __init__(
        self, virtual: Virtual, budget: RetryBudget, line: Traced, state: State, key: Key, grant: Grant, found: Match
    ) -> None:
        self.line, self.key, self.grant = line, key, grant
        self.digest = b""
        self.form = (False, False)
        self.followers: list[Traced] = []
        self.upstream: Upstream | None = None
        self.attempts = 0
        self._clock, self._providers, self._dice, self._over = virtual
        self._budget = budget
        self._resilience = state.settings.resilience
        self._inquiry = Inquiry()
        head = Head(found, "POST", b"/", b"", [])
        self._inquiry.asks(head, {}, line.id, state, key, UNREAD, grant)
        self._candidates = Replayed(self._inquiry, line)
        self._times: Counter[str] = Counter()
        self._keys = self._retries = 0
        self._turns = (LENGTH if grant.context_length else 0) | (POLICY if grant.content_policy else 0)
        self._waiting = 0

    def start(self) -> None:
        if self._candidates.next(self._clock.now, True):
            self._ask()
        else:
            self._queue()

    def _queue(self) -> None:
        """Wait for a place, as long as one may be waited for."""
        gate = self._candidates.full
        place = gate.wait(self.key.priority, self._clock.now, self._came) if gate is not None else None
        if gate is None or place is None:
            nobody = unavailable(self.grant.upstreams, self._clock.now).status if gate is None else 503
            self._over(self, nobody)
            return
        self._waiting += 1
        waiting = self._waiting

        def late() -> None:
            if self._waiting == waiting:
                place.leave()
                self._came(False, self._clock.now)

        self._clock.call_at(self._clock.now + gate.max_wait_s, late)

    def _came(self, came: bool, now: float) -> None:
        self._waiting += 1
        if not came:
            self._over(self, 503)
        elif self._candidates.come(now) or (self._candidates.full is None and self._candidates.next(now, True)):
            self._ask()
        else:
            self._queue()

    def _ask(self) -> None:
        now, candidates, upstream = self._clock.now, self._candidates, self._candidates.upstream
        assert upstream is not None  # noqa: S101 - one was picked
        self.upstream = upstream
        self.attempts += 1
        tried = Tried(upstream, candidates.account, candidates.trial, candidates.names, candidates.left(now), now)
        tried.gate = candidates.gate
        for turn, choices in ((LENGTH, self.grant.context_length), (POLICY, self.grant.content_policy)):
            if self._turns & turn and not candidates.names and candidates.leads(choices, now):
                tried.turns |= turn
        try:
            tried.ready()
        except ProviderError:
            self._end(tried, Answer(0, 0.0, health="none"))
            return
        tried.request = UpstreamRequest(b"POST", b"/", b"", b"")
        name = upstream.names[0]
        answer = self._providers.ask(self.line.id, name, self._times[name])
        self._times[name] += 1
        ends, content = now + answer.seconds, now + answer.content_s
        headed = now + (answer.refused_s or answer.content_s or answer.seconds)
        told = self.line.tries[self.attempts - 1] if self.attempts <= len(self.line.tries) else None
        at_ns = self.line.at_ns
        alike = told is not None and f"{told.provider}/{told.model}" == name and Answer.of(told) == answer
        if told is not None and alike and abs(now - reading_of(at_ns + told.begun_ns)) <= NEAR_S:
            # The moments of the trace, not sums that differ from them in the last digits.
            ends, content = reading_of(at_ns + told.ended_ns), reading_of(at_ns + told.content_ns)
            headed = reading_of(at_ns + (told.refused_ns or told.content_ns or told.ended_ns))
        if answer.status:
            self._clock.call_at(min(headed, ends), partial(self._head, tried, answer))
        if answer.content_s:
            self._clock.call_at(min(content, ends), partial(self._content, tried))
        self._clock.call_at(ends, partial(self._end, tried, answer))

    def _content(self, tried: Tried) -> None:
        tried.has_content(self._clock.now, 0.0, tried.begun)

    def _head(self, tried: Tried, answer: Answer) -> None:
        tried.status = answer.status
        tried.heed(waits(tried.provider.dialect, answer.status, answer.asked_s), self._clock.now)
        if answer.status >= 400 and not tried.others_left():
            self._decide(tried, answer.status)

    def _end(self, tried: Tried, answer: Answer) -> None:
        now, line = self._clock.now, self.line
        gate, tried.gate = tried.gate, None
        if gate is not None:
            refused = answer.status in TOO_MANY or answer.kind == UpstreamTimeout.kind
            seconds = answer.content_s or answer.seconds if answer.status == 200 else 0.0
            gate.leave(now, seconds, answer.content_s > 0.0, refused)
        tried.conclude(answer.health, now, max(0, line.output_tokens), answer.after_s)
        if answer.status == 200 and (answer.health == "ok" or answer.content_s):
            self._budget.successes += 1
            self._over(self, 200)
        elif not self._follows(tried, answer, now):
            # What a client is told where all have failed is what it was told.
            told = line.status if line.status >= 400 and self.attempts == line.attempts else answer.status or 502
            self._over(self, told if told != 200 else 502)

    def _follows(self, tried: Tried, answer: Answer, now: float) -> bool:
        """Whether somebody is asked after a failure, or waited for; as `Dispatch` decides it."""
        candidates, rule = self._candidates, RULES.get(answer.status)
        refused = answer.error == UpstreamCredentials.code
        if refused:
            tried.refuse(now)
        if answer.turned & tried.turns:
            self._turns &= ~answer.turned
            candidates.turn_to(self.grant.context_length if answer.turned == LENGTH else self.grant.content_policy)
            found = candidates.next(now, True)
        elif answer.health == "none" and answer.status == 0 and answer.seconds:
            return False  # its client left
        elif answer.status >= 400 and not refused and (rule is None or not tried.others_left()):
            return False  # the answer is the client's
        elif tried.following is not None and self._keys < MAX_KEYS:
            self._keys += 1
            found = self._again(tried, tried.following)
            if not found and candidates.full is None:
                found = candidates.next(now, tried.left)
        else:
            found = candidates.next(now, tried.left)
        if found:
            self._ask()
            return True
        if candidates.full is not None:
            self._queue()
            return True
        if tried.delay == UNDECIDED:
            self._decide(tried, answer.status)
        if refused or tried.delay < 0.0:
            return False
        self._clock.call_at(self._rest_ends(now, tried.delay), partial(self._rested, tried))
        return True

    def _again(self, tried: Tried, account: Account | None) -> bool:
        if account is None and self._candidates.tied:
            account = tried.account
        return self._candidates.again(tried.upstream, account, self._clock.now)

    def _decide(self, tried: Tried, status: int) -> None:
        """Whether the same upstream is asked again, a little later: then ``tried.delay`` says when."""
        settings, now = self._resilience, self._clock.now
        tried.delay = delay_s(tried, status, self._retries, settings, self._budget, settings.total_s, now)
        if tried.delay >= 0.0:
            rest = tried.provider.resting(tried.upstream.model, now)[0]
            tried.delay = rest + self._dice.uniform(0.0, min(BACKOFF_S * 2**self._retries, MAX_BACKOFF_S))
            self._retries += 1

    def _rest_ends(self, now: float, delay: float) -> float:
        """When the next attempt was made, if there was such a wait; else after the `delay`."""
        tries = self.line.tries
        told = tries[self.attempts - 1] if self.attempts <= len(tries) else None
        if told is None or not told.rested_ns:
            return now + delay
        ended, rested = self.line.at_ns + told.ended_ns, self.line.at_ns + told.rested_ns
        return reading_of(rested) if now == reading_of(ended) else now + (rested - ended) / SECOND_NS

    def _rested(self, tried: Tried) -> None:
        if self._again(tried, None) or (self._candidates.full is None and self._candidates.next(self._clock.now, True)):
            self._ask()
        else:
            self._queue()


def waits(dialect: Dialect, status: int, seconds: float) -> Fields:
    """The headers by which a provider asks to be left alone for so many seconds: those of `edge.upstreams.waits`, to
    the nanosecond.
    """
    if not seconds:
        return Fields([])
    if status >= 400:
        return Fields([(b"retry-after", b"%.9f" % seconds)])
    remaining, reset = BY_DIALECT[dialect][0]
    return Fields([(remaining, b"0"), (reset, b"%.9f" % seconds)])
