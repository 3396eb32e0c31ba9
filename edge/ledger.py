"""What has become of a request: who answered it, in how many attempts, when, and at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.clock import perf_counter
from edge.errors import EdgeError
from edge.hooks import Usage
from edge.reply_fields import lines_of

if TYPE_CHECKING:
    from edge.cache.entry import Entry
    from edge.money.pricing import ModelPrice
    from edge.trace_context import TraceContext
    from edge.upstreams.standing import Decision
    from edge.upstreams.tried import Tried

__all__ = [
    "BYPASS",
    "JOINED",
    "KINDS",
    "MEMORY",
    "MISS",
    "REDIS",
    "UNCACHED",
    "Answered",
    "Ledger",
    "Source",
    "Verdict",
    "kind_of_status",
]


KINDS = (
    *("client_invalid", "client_auth", "client_cancelled", "client_too_large"),
    *("policy_rate_limited", "policy_budget", "policy_model_denied", "policy_pii_blocked"),
    *("provider_auth", "provider_billing", "provider_rate_limited", "provider_overloaded"),
    *("provider_error", "provider_timeout", "provider_connect", "provider_bad_response", "provider_stream_broken"),
    *("edge_no_route", "edge_circuit_open", "edge_shed", "edge_internal", "_other"),
)
"""The closed vocabulary of ``kind``, prefixed by whose fault it is."""


class Verdict:
    """How the cache was involved. ``word`` is for logs and metrics; ``lines`` are the reply's: ``x-edge-cache``, and
    ``Cache-Status`` (RFC 9211) but where that has the time to live of the stored answer in it. There are six.
    """

    def __init__(self, word: str, status: bytes) -> None:
        self.word = word
        told = ((b"x-edge-cache", word.encode("ascii")), (b"cache-status", status))
        self.lines = lines_of([field for field in told if field[1]])


UNCACHED = Verdict("", b"")
MISS = Verdict("miss", b"edge; fwd=miss")
BYPASS = Verdict("bypass", b"edge; fwd=bypass")
JOINED = Verdict("joined", b"edge; fwd=miss; collapsed")
MEMORY = Verdict("memory", b"")
REDIS = Verdict("redis", b"")


class Source:
    """Who answers: ``model`` of the provider ``name``. ``lines`` tell the client so; ``price`` is what an answer costs,
    None where that is not known. `edge.upstreams.router.Upstream` is one.
    """

    def __init__(self, name: str, model: str, lines: bytes, price: ModelPrice | None) -> None:
        self.name = name
        self.model = model
        self.lines = lines
        self.price = price

    def price_of(self, model: str) -> ModelPrice | None:
        """What an answer of another model of the same provider costs."""
        raise NotImplementedError


class Answered:
    """What of an attempt is for the reply and the record: `edge.upstreams.tried.Tried`. (A compiled class has no
    abstract methods.)
    """

    def dropped(self) -> tuple[str, ...]:
        """The client's fields that did not cross."""
        raise NotImplementedError

    def warnings(self) -> frozenset[str]:
        """What of the answer could not be made sense of."""
        raise NotImplementedError

    def found(self) -> str:
        """What was found in the answer of personal data: ``response.email=1``."""
        raise NotImplementedError

    def broke(self) -> bool:
        """Whether the answer is a stream that told of a failure."""
        raise NotImplementedError

    def error_event(self, error: EdgeError, request_id: str) -> bytes | None:
        """An error inside the stream that the answer is; None where it is none."""
        raise NotImplementedError


class Ledger:
    """``upstream`` is who was asked last, ``attempts`` how many were. ``attempt`` is the one at hand, or the last one;
    that of a flight, where one gives the answer; ``tries`` are all of them, of the first one to ask for a flight its.
    ``usage`` are the tokens of its answer, ``cost`` (1e-12 USD, -1
    unknown) and ``estimated`` are those of all attempts.

    ``content_at`` is the reading of ``time.perf_counter()`` at which the first content of a stream was there, 0.0
    before, ``asked_at`` that at which an upstream was to be picked first; ``upstream_s`` the seconds in which there was
    nothing to do but to wait upstream, or for the time to ask there, ``upload_s`` those in which the body came, or
    requests before it on its connection were answered.
    ``stored`` is the stored answer that was given, ``cache`` how the cache was involved.

    ``hedge`` is what became of a second attempt beside another: it ``won``, or ``lost``, or ``failed``; "" for none.
    ``rescued``: a stream that broke off was continued by another upstream. ``decision`` is how the upstreams stood when
    the first was picked, for the few of which the log tells that. ``leader`` is the place in a trace of who asked for
    the flight that was joined. ``error`` is what the client was told by this edge, ``kind`` that of a failure which was
    told inside a stream. ``particulars`` are what else a line of the log tells of it: fields of JSON, as they stand
    there behind others.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """As it is made: nothing has become of it."""
        self.upstream: Source | None = None
        self.attempts = 0
        self.attempt: Answered | None = None
        self.tries: list[Tried] = []
        self.usage: Usage | None = None
        self.cost = -1
        self.estimated = False
        self.content_at = self.asked_at = 0.0
        self.upstream_s = self.upload_s = self._counted = 0.0
        self.cache = UNCACHED
        self.stored: Entry | None = None
        self.hedge = ""
        self.rescued = False
        self.decision: Decision | None = None
        self.leader: TraceContext | None = None
        self.error: EdgeError | None = None
        self.kind = ""
        self.particulars = b""

    def waited(self, since: float) -> None:
        """Since this reading of ``time.perf_counter()`` there was nothing to do but to wait, upstream or for the time
        to ask there. Waits that overlap count once.
        """
        now = perf_counter()
        self.upstream_s += now - max(since, self._counted)
        self._counted = now

    def recalled(self, entry: Entry, tier: Verdict) -> None:
        """A stored answer is given."""
        self.cache = tier
        self.stored = entry
        self.usage = entry.usage

    def shares(self, flight: Ledger) -> None:
        """The answer is that of a flight."""
        self.upstream = flight.upstream
        self.attempts = flight.attempts
        self.hedge = flight.hedge
        self.rescued = flight.rescued
        self.attempt = flight.attempt

    def accounts_for(self, flight: Ledger) -> None:
        """What a flight cost is its first call's, which has missed, as far as it is known; it is charged once."""
        if flight.rescued:
            self.shares(flight)  # by now it is another's
        self.usage = flight.usage
        if self.cache is MISS:
            self.cost, self.estimated = flight.cost, flight.estimated
            self.tries, self.asked_at, self.decision = flight.tries, flight.asked_at, flight.decision

    def failure(self, status: int) -> str:
        """The kind of failure of a finished request whose reply has this status, "" if it did not fail."""
        if self.error is not None:
            return self.error.kind
        kind = self.kind or kind_of_status(status)
        if not kind and self.attempt is not None and self.attempt.broke():
            return "provider_stream_broken"
        return kind


def kind_of_status(status: int) -> str:
    """The kind of failure a provider's own error status stands for; "" for a success."""
    if status < 400:
        return ""
    if status == 402:
        return "provider_billing"
    if status == 429:
        return "provider_rate_limited"
    if status in (503, 529):
        return "provider_overloaded"
    if status in (408, 504):
        return "provider_timeout"
    return "provider_error" if status >= 500 or status == 425 else "client_invalid"
