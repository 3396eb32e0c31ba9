"""What all attempts of one worker have in common."""

from __future__ import annotations

import asyncio

from edge._fast import Series
from edge.call import Call
from edge.clock import perf_counter
from edge.errors import Overloaded
from edge.hooks import Hooks, Meter
from edge.inquiry import Books, Inquiry
from edge.memo import keep
from edge.slices import Slices
from edge.upstreams.budget import HedgeBudget, RetryBudget
from edge.upstreams.choice import Candidates
from edge.upstreams.clocks import Deadline, Sweep, Timed
from edge.upstreams.retry import AttemptFailed, code_of_attempt
from edge.upstreams.tried import Tried

__all__ = ["Buffers", "Desk", "Outcome"]

COUNT_S = 4.0
"""What providers have to count the tokens of a request, all of them together. Clients wait for it before a turn."""


class Buffers:
    """``held`` is the sum of all inquiries' ``buffered``, which nobody else writes, and of what is lent."""

    def __init__(self) -> None:
        self.held = 0

    def hold(self, inquiry: Inquiry, size: int) -> None:
        """So many bytes more. Raises Overloaded above ``server.max_buffered_bytes``."""
        self.held += size
        inquiry.buffered += size
        if self.held > inquiry.state.max_buffered_bytes:
            raise Overloaded("This edge holds as many bytes of bodies as it may; ask again.")

    def lend(self, size: int, most: int) -> bool:
        """So many bytes more that are no inquiry's, until they are given back; False where more than `most` would be
        held.
        """
        if self.held + size > most:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        self.held -= size

    def let_go(self, inquiry: Inquiry, held: int) -> None:
        """Back to `held` bytes of this inquiry."""
        self.held += held - inquiry.buffered
        inquiry.buffered = held


class Desk:
    """What one worker's attempts have in common."""

    def __init__(
        self,
        hooks: Hooks,
        meter: Meter,
        accounts: Books,
        buffers: Buffers,
        slices: Slices,
        sweep: Sweep,
        budget: RetryBudget,
        hedges: HedgeBudget,
    ) -> None:
        self.hooks = hooks
        self.meter = meter
        self.accounts = accounts
        self.buffers = buffers
        self.slices = slices
        self.sweep = sweep
        self.budget = budget
        self.hedges = hedges
        self._asked: dict[tuple[str, str, int], Series] = {}
        self._streamed: dict[tuple[str, str], tuple[Series, Series]] = {}
        self._routed: dict[tuple[str, str], tuple[Series, Series]] = {}
        # Most requests are counted as the one before, which is seen at once.
        self._strategy = self._picked = ""
        self._decided: Series = None  # type: ignore[assignment]
        self._took: Series = None  # type: ignore[assignment]
        self._provider = self._label = ""
        self._status = -1
        self._latest: Series = None  # type: ignore[assignment]

    def deadline(self, inquiry: Inquiry, whose: Timed, upstreams: int) -> Deadline:
        """The clocks of all attempts at an inquiry, for which there are so many `upstreams`."""
        payload = inquiry.payload
        call = inquiry if isinstance(inquiry, Call) else None  # the clients of a flight have clocks of their own
        deadline = Deadline.__new__(Deadline)
        deadline.begin(self.sweep, inquiry.state.resilience, whose, payload.deadline_ms if call is not None else 0)
        if inquiry.head.route.counts:
            deadline.for_attempts(False, COUNT_S, upstreams)
        else:
            deadline.for_attempts(payload.stream)
        if call is not None:
            deadline.keep_alive(call)
            deadline.heed(call.upload)
        return deadline

    def over(self, inquiry: Inquiry, tried: Tried, error: Exception | None) -> None:
        """Charge what an attempt that is over has answered, and count it. It ended with `error`, if with one.

        Raises nothing: whoever waits for the attempt is told how it ended, whatever the books make of that. A defect
        of ours is told to the loop.
        """
        try:
            if not tried.charged:
                self.accounts.settle(inquiry, tried, inquiry.ledger.error if error is None else error)
            if tried.request is not None:
                self.asked(tried, inquiry.grant.label, error)
                if tried.first_s >= 0.0:
                    self.streamed(tried, inquiry.grant.label, inquiry.ledger.upstream_s)
        except Exception as defect:  # noqa: BLE001 - of ours
            told = {"message": "an attempt's books", "exception": defect}
            asyncio.get_running_loop().call_exception_handler(told)

    def routed(self, candidates: Candidates, since: float) -> None:
        """Count what a strategy has picked, of which there was a need `since`."""
        strategy, upstream = candidates.strategy, candidates.upstream
        if not strategy or upstream is None:
            return
        took_s, name = perf_counter() - since, upstream.name
        if self._strategy is not strategy or self._picked is not name:
            key = (strategy, name)
            found = self._routed.get(key)
            if found is None:
                bind = self.meter.bind
                adds = bind("edge_routing_decisions_total", *key), bind("edge_routing_duration_seconds", strategy)
                found = keep(self._routed, key, adds)
            self._strategy, self._picked, (self._decided, self._took) = strategy, name, found
        self._decided.tell(1.0)
        self._took.tell(took_s)

    def asked(self, tried: Tried, label: str, error: Exception | None) -> None:
        """Count a request to a provider for a model of this label, which ended with `error`, if with one."""
        provider, status = tried.provider.name, tried.status
        if tried.watch is not None:
            self.meter.observe("edge_pii_scan_duration_seconds", tried.watch.took_s, "response")
            for kind, found in tried.watch.findings():
                self.meter.count("edge_pii_findings_total", "response", kind, tried.watch.mode, amount=found)
        if not status:
            self.meter.count("edge_upstream_requests_total", provider, label, code_of_attempt(0, error))
            return
        if self._status != status or self._provider is not provider or self._label is not label:
            key = (provider, label, status)
            series = self._asked.get(key)
            if series is None:
                bound = self.meter.bind("edge_upstream_requests_total", *key[:2], code_of_attempt(status, None))
                series = keep(self._asked, key, bound)
            self._provider, self._label, self._status, self._latest = provider, label, status, series
        self._latest.tell(1.0)

    def streamed(self, tried: Tried, label: str, upstream_s: float) -> None:
        """Tell how long a stream of a model of this label took, whose inquiry has waited upstream for `upstream_s`."""
        key = (tried.provider.name, label)
        found = self._streamed.get(key)
        if found is None:
            bind = self.meter.bind
            found = keep(
                self._streamed,
                key,
                (
                    bind("edge_upstream_time_to_first_chunk_seconds", *key),
                    bind("edge_upstream_time_per_output_chunk_seconds", *key),
                ),
            )
        first, between = found
        first.tell(tried.first_s)
        crossing = tried.crossing
        stream = crossing.stream if crossing is not None else None
        if stream is not None and stream.deltas > 1:
            between.tell((upstream_s - tried.content_s) / (stream.deltas - 1))


class Outcome(Timed):
    """Who tries. Each of these is told with what the attempt is made of."""

    def passed(self, tried: Tried, failure: AttemptFailed | None) -> None:
        """The client has its answer; `failure` is that of the provider which it tells of."""
        raise NotImplementedError

    def again(self, tried: Tried, status: int, now: float) -> bool:
        """Whether the upstream is asked again after a failure of this status, 0 where no answer came. It is decided
        once for each attempt, by how matters stand ``now``.
        """
        raise NotImplementedError

    def wins(self, tried: Tried) -> None:
        """Its answer goes to the client from here on: what was asked beside it is given up."""
        raise NotImplementedError

    def failed(self, tried: Tried, error: Exception) -> None:
        """AttemptFailed, an EdgeError, or what should not happen."""
        raise NotImplementedError
