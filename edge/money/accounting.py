"""What answers cost, what the cache saved, and that each provider's answer is charged once.

Costs are whole numbers of 1e-12 USD (`edge.money.pricing`); the metrics have US dollars. What is charged:

* an answer of status 200, whole or a stream that showed content, by the tokens its provider counted; by an estimate
  (`edge.dialects.estimate`), and flagged, where the provider gave no count or the stream did not reach its end;
* an answer of status 200 that could be counted, but not be made sense of: it is billed all the same;
* a request that had been sent when its client left, or when the gateway had to end: its input, estimated. What the
  provider generated for nobody is not known: the output stays -1, so the cost is the least it can have been.

An error costs nothing, nor does the count of a request's tokens. Neither does a request whose time ran out before any
content, or whose connection broke: whether such a provider has done any work, nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from edge._fast import Series
from edge.dialects.estimate import estimate_answer
from edge.errors import ClientClosedRequest, ShuttingDown
from edge.hooks import COUNTS, MAX_COUNT, Meter, Usage
from edge.inquiry import Books, Inquiry
from edge.memo import keep
from edge.money.pricing import PICO

if TYPE_CHECKING:
    from edge.call import Call
    from edge.dialects.crossing import Crossing
    from edge.ledger import Source

__all__ = ["Accounts", "estimate"]

NOBODY_COUNTED = Usage()
READABLE = frozenset({"/chat/completions", "/completions", "/embeddings", "/messages", "/rerank", "/responses"})
"""Paths of requests whose tokens can be estimated. What else passes through (pictures, speech) is not sold by them."""
WITHOUT_OUTPUT = ("/embeddings", "/rerank")
KINDS = COUNTS[:-1]
"""The metrics' names of tokens: searches of the web are none."""
COST = len(KINDS)
_PICO = float(PICO)
CHARGED = ("edge_tokens_total", "edge_cost_usd_total")
SAVED = ("edge_saved_tokens_total", "edge_saved_cost_usd_total")


class Tried(Protocol):
    """What is asked of an attempt, an `edge.upstreams.tried.Tried`."""

    usage: Usage | None
    status: int
    charged: bool

    @property
    def upstream(self) -> Source: ...

    @property
    def crossing(self) -> Crossing | None: ...

    def sent(self) -> bool: ...


class Book:
    """What adds up the answers of one model for one tenant: each series from the first time on that there is something
    to add to it.
    """

    def __init__(self, bind: Callable[..., Series], metrics: tuple[str, str], *labels: str, kind_at: int) -> None:
        """`metrics` are those of tokens and of costs; the former has the kind of tokens among its labels, as the one at
        `kind_at`.
        """
        self._bind = bind
        self._metrics = metrics
        self._labels = labels
        self._kind_at = kind_at
        self._series: list[Series | None] = [None] * (COST + 1)

    def enter(self, usage: Usage, cost: int) -> None:
        """Add what one answer used, and its cost where that is known: what is given and not 0."""
        # Each by its place in `COUNTS`, and not by way of a tuple of them, which would cost more than the adding.
        if usage.input > 0:
            self._add(0, usage.input)
        if usage.output > 0:
            self._add(1, usage.output)
        if usage.cache_read > 0:
            self._add(2, usage.cache_read)
        if usage.cache_write > 0:
            self._add(3, usage.cache_write)
        if usage.reasoning > 0:
            self._add(4, usage.reasoning)
        if usage.cache_write_long > 0:
            self._add(5, usage.cache_write_long)
        if usage.audio_input > 0:
            self._add(6, usage.audio_input)
        if usage.audio_output > 0:
            self._add(7, usage.audio_output)
        if usage.image_input > 0:
            self._add(8, usage.image_input)
        if usage.image_output > 0:
            self._add(9, usage.image_output)
        if cost >= 0:
            self._add(COST, cost / PICO if cost > MAX_COUNT else self._dollars(cost))

    def _dollars(self, picos: int) -> float:
        """Of a cost that a float can tell from the next, so that it is divided as one."""
        return picos / _PICO

    def _add(self, number: int, amount: float) -> None:
        series = self._series[number]
        if series is None:
            labels = self._labels
            if number < COST:
                labels = (*labels[: self._kind_at], KINDS[number], *labels[self._kind_at :])
            series = self._series[number] = self._bind(self._metrics[number == COST], *labels)
        series.tell(amount)


class Accounts(Books):
    """Charges answers, and tells `meter` their tokens and costs. One for each worker; it outlives reloads."""

    def __init__(self, meter: Meter) -> None:
        self._count = meter.count
        self._bind = meter.bind
        self._charged: dict[tuple[str, str, str], Book] = {}
        self._saved: dict[tuple[str, str, str], Book] = {}
        # Most answers go into the book of the one before, which is seen at once.
        self._upstream: Source | None = None
        self._label = self._tenant = ""
        self._latest: Book = None  # type: ignore[assignment]

    def charge(self, upstream: Source, model_label: str, tenant: str, usage: Usage | None) -> tuple[Usage, int] | None:
        """Count what one upstream answer cost: to be called exactly once for each.

        `model_label` and `tenant` are fit for metrics. Without `usage` nothing can be said of the answer but that it
        has no price: returns None, else its bare counts and what they cost in 1e-12 USD (-1 where no price is known).
        """
        price = upstream.price
        if usage is None or price is None:
            self._count("edge_unpriced_requests_total", upstream.name)
        if usage is None:
            return None
        book = self._latest
        if self._upstream is not upstream or self._label is not model_label or self._tenant is not tenant:
            labels = (upstream.name, model_label, tenant)
            found = self._charged.get(labels)
            if found is None:
                found = keep(self._charged, labels, Book(self._bind, CHARGED, *labels, kind_at=2))
            book = found
            self._upstream, self._label, self._tenant, self._latest = upstream, model_label, tenant, book
        counts = usage.settled()
        others = upstream  # an object of Python's: its method is to be a value, which a compiled one is not
        cost = price.cost(usage, others.price_of if usage.parts else None) if price is not None else -1
        book.enter(counts, cost)
        return counts, cost

    def saved(self, model_label: str, tenant: str, tier: str, usage: Usage | None, cost: int) -> None:
        """Count what an answer that was not asked of a provider would have cost: `usage` and `cost` are those of the
        answer given instead (-1: not known, adds nothing), `tier` says where it came from (memory, redis, joined).
        """
        labels = (model_label, tenant, tier)
        book = self._saved.get(labels)
        if book is None:
            book = keep(self._saved, labels, Book(self._bind, SAVED, *labels, kind_at=3))
        book.enter(NOBODY_COUNTED if usage is None else usage, cost)

    def saved_by(self, call: Call, cost: int) -> None:
        """Count what the answer given to `call` would have cost."""
        ledger = call.ledger
        self.saved(call.grant.label, call.key.tenant, ledger.cache.word, ledger.usage, cost)

    def settle(self, inquiry: Inquiry, tried: Tried, error: Exception | None, answer: bytes | None = None) -> None:
        """Charge what the provider has answered to an attempt for `inquiry`, if it has and is not charged yet.

        Sets ``usage``, ``estimated`` and ``cost`` of its ledger; the cost adds up over its attempts. What is reserved
        for it is told of each. `error` is what
        ended the attempt, `answer` the body of a whole answer of status 200.
        """
        if tried.charged or tried.crossing is None:
            return
        ledger, route = inquiry.ledger, inquiry.head.route
        ledger.usage = tried.usage
        if route.counts or route.kept:
            return
        found = self._answered(tried, route.upstream, error, answer)
        if found is None:
            return
        tried.charged = True
        usage, estimated = found
        upstream = tried.upstream
        charge = self.charge(upstream, inquiry.grant.label, inquiry.key.tenant, usage)
        if charge is None:
            return
        ledger.usage, cost = charge
        if inquiry.reservation is not None:
            inquiry.reservation.used(ledger.usage, cost)
        if estimated:
            ledger.estimated = True
            self._count("edge_estimated_requests_total", upstream.name)
        if cost >= 0:
            ledger.cost = cost if ledger.cost < 0 else cost + ledger.cost

    def _answered(
        self, tried: Tried, path: str, error: Exception | None, answer: bytes | None
    ) -> tuple[Usage | None, bool] | None:
        """The tokens of what came (None: not to be told) and whether they are estimated; None if nothing is to be
        charged. Must not raise: nobody would settle the request then.
        """
        crossing = tried.crossing
        assert crossing is not None  # noqa: S101 - else it is not asked
        stream = crossing.stream
        told = crossing.told()
        if told is not None and (stream is None or stream.content):
            return told, True  # the books say what the client has been told
        if stream is not None and stream.content:
            usage = stream.reported()
            whole = stream.finished or (error is None and not stream.failed)
            if whole and usage is not None and usage.input >= 0 and usage.output >= 0:
                return usage, False
            written = stream.estimate(tried.upstream.model)
            known = usage
        elif stream is None and tried.usage is not None:
            return tried.usage, False
        elif stream is None and answer is not None:
            counts = path in READABLE and path not in WITHOUT_OUTPUT
            known, written = None, estimate_answer(answer) if counts else -1
        elif cut_off(tried, error):
            known, written = stream.reported() if stream is not None else None, -1
        else:
            return None
        if path not in READABLE:
            return known, False
        estimated = estimate(crossing.estimated_input, written, known)
        price = tried.upstream.price
        window = price.context_window if price is not None else None
        if window is not None and estimated.input > window and (known is None or known.input < 0):
            estimated = estimated.told(window, estimated.output)  # it would have been refused otherwise
        return estimated, True


def estimate(measure: Callable[[], int], written: int, known: Usage | None = None) -> Usage:
    """The tokens of a request, which `measure` estimates, and of an answer that nobody counted, or not to its end.

    `written` is an estimate of the output, -1 where there is none; `known` what the provider said on the way: its
    input stands, its output is the least there was.
    """
    known = NOBODY_COUNTED if known is None else known
    return known.told(measure() if known.input < 0 else known.input, max(known.output, written))


def cut_off(tried: Tried, error: Exception | None) -> bool:
    """Whether the provider had the request, and would have gone on, when it was given up for no fault of its own."""
    return isinstance(error, ClientClosedRequest | ShuttingDown) and tried.sent() and tried.status in (0, 200)
