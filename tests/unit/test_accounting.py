"""What is charged, once and exactly, and what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import config
from edge._fast import Series, usd
from edge.dialects.crossing import STREAMS, Crossing
from edge.dialects.estimate import estimate_input
from edge.dialects.stream import Stream
from edge.errors import ClientClosedRequest, EdgeError, ShuttingDown, UpstreamStreamBroken, UpstreamTimeout
from edge.hooks import Usage
from edge.money.accounting import Accounts, estimate
from edge.money.pricing import PICO
from edge.telemetry.metrics import Metrics, shared_slots
from edge.terms import Granted
from edge.upstreams.fleet import open_site
from edge.upstreams.provider import Provider
from edge.upstreams.router import Upstream
from edge.upstreams.tried import Tried
from tests.unit.calls import Asked, asked

OPENAI = "https://api.openai.com/v1"
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"twelve bytes"}]}'
PATHS = {"chat": "/chat/completions", "messages": "/messages", "responses": "/responses", "other": "/images"}


class Bound(Series):
    def __init__(self, tally: Tally, metric: str, labels: tuple[str, ...]) -> None:
        self.tally, self.metric, self.labels = tally, metric, labels

    def tell(self, value: float) -> None:
        self.tally.count(self.metric, *self.labels, amount=value)


class Tally:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()

    def count(self, metric: str, *labels: str, amount: float = 1.0) -> None:
        self.counts[metric, *labels] += amount  # type: ignore[assignment]

    def bind(self, metric: str, *labels: str) -> Series:
        return Bound(self, metric, labels)

    def observe(self, metric: str, value: float, *labels: str) -> None:
        raise AssertionError

    def level(self, metric: str, value: float, *labels: str) -> None:
        raise AssertionError

    def total(self, metric: str) -> float:
        return sum(value for key, value in self.counts.items() if key[0] == metric)


@pytest.fixture
def tally() -> Tally:
    return Tally()


def upstream(model: str = "gpt-4o", base_url: str = OPENAI, **settings: Any) -> Upstream:
    made = config.Provider(dialect="openai", base_url=base_url, **settings)
    return Upstream(Provider("main", made, open_site("main", made, 1.0)), model)


def charge(accounts: Accounts, model: str = "gpt-4o", usage: Usage | None = None) -> tuple[Usage, int] | None:
    return accounts.charge(upstream(model), "smart", "a", usage)


def test_an_answer_is_charged_by_its_tokens(tally):
    got = charge(Accounts(tally), usage=Usage(input=100, output=10, cache_read=20))
    # gpt-4o: 2.5, 10 and 1.25 USD for a million tokens.
    assert got == (Usage(input=100, output=10, cache_read=20), 375_000_000)
    assert tally.counts == {
        ("edge_cost_usd_total", "main", "smart", "a"): pytest.approx(0.000375, abs=1e-18),
        ("edge_tokens_total", "main", "smart", "input", "a"): 100,
        ("edge_tokens_total", "main", "smart", "output", "a"): 10,
        ("edge_tokens_total", "main", "smart", "cache_read", "a"): 20,
    }


def test_what_has_no_price_is_counted_as_that(tally):
    accounts = Accounts(tally)
    assert charge(accounts, "nothing-like-it", Usage(1, 2)) == (Usage(1, 2), -1)
    assert charge(accounts, "gpt-4o", None) is None
    assert tally.counts[("edge_unpriced_requests_total", "main")] == 2
    assert tally.total("edge_cost_usd_total") == 0


@given(st.integers(0, 10**24))
def test_a_cost_in_a_header_is_exact(cost):
    text = usd(cost).decode()
    assert Decimal(text) * PICO == cost
    assert "e" not in text.lower()
    assert text == "0" or not text.startswith(".")
    assert "." not in text or not text.endswith(("0", "."))


def test_how_costs_look():
    costs = {0: b"0", 1: b"0.000000000001", 12_340_000: b"0.00001234", PICO: b"1", 10 * PICO: b"10"}
    assert {cost: usd(cost) for cost in costs} == costs
    with pytest.raises(ValueError, match="no cost"):
        usd(-1)


def test_savings_are_summed_over_workers_by_model_and_tenant(tally):
    slots = shared_slots(2)
    workers = [Metrics(slots, 1, since=0.0), Metrics(slots, 2, since=0.0)]
    for metrics in workers:
        accounts = Accounts(metrics)
        accounts.saved("smart", "a", "memory", Usage(input=10, output=5, cache_read=3, cache_write=2, reasoning=4), 7)
        accounts.saved("smart", "a", "joined", Usage(input=1, output=1), 100_000_000)
        accounts.saved("smart", "b", "memory", None, -1)
        accounts.saved("wise", "b", "redis", Usage(), PICO // 10)
    for region in (None, 2):
        if region:
            slots.fold(region)  # a worker that has ended still counts
        got = workers[0].savings()
        rows = [(r.model, r.tenant, r.tier, r.input_tokens, r.output_tokens, r.cost_usd) for r in got.models]
        assert rows == [
            ("smart", "a", "joined", 2, 2, 0.0002),
            ("smart", "a", "memory", 30, 10, 1.4e-11),
            ("wise", "b", "redis", 0, 0, 0.2),
        ]
        assert (got.total.input_tokens, got.total.output_tokens, got.total.cost_usd) == (32, 12, 0.200200000014)
        assert got.since.isoformat() == "1970-01-01T00:00:00+00:00"


# Settling.


class Crossed(Crossing):
    """How an answer came, as far as accounting looks at it."""

    def __init__(self, stream: Stream | None, said: Usage | None, measure: Callable[[], int] = lambda: 0) -> None:
        self.stream = stream
        self._said = said
        self._measure = measure

    def told(self) -> Usage | None:
        return self._said

    def estimated_input(self) -> int:
        return self._measure()


class Attempted(Tried):
    """An attempt that was answered."""

    def __init__(self, crossing: Crossing) -> None:
        super().__init__(upstream(), None, None)
        self.crossing = crossing
        self.status = 200
        self.arrived = True

    def sent(self) -> bool:
        return self.arrived


def call(api: str = "chat", *, path: str = "", events: list[tuple[bytes, bytes]] | None = None, **fields: Any) -> Asked:
    """A call, as far as accounting looks at it. `events` are what a stream has brought."""
    stream = None
    if events is not None:
        stream = STREAMS[api]()
        stream.see(events)
    body = fields.pop("body", BODY)
    made = asked(BODY, path or "/v1" + PATHS[api])
    made.ledger.attempt = tried = Attempted(Crossed(stream, None, lambda: estimate_input(PATHS[api], body)))
    made.key = SimpleNamespace(tenant="a")
    made.grant = Granted("", "smart", ())
    for name, value in fields.items():
        setattr(tried if hasattr(tried, name) else made.ledger, name, value)
    return made


def settle(accounts: Accounts, made: Asked, answer: bytes | None = None) -> None:
    accounts.settle(made, made.ledger.attempt, made.ledger.error, answer)


def delta(text: str) -> tuple[bytes, bytes]:
    return b"message", b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % text.encode()


SAID = [delta("a"), delta("b"), delta("c")]
USED = (b"message", b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}')
DONE = (b"message", b"[DONE]")
STOP = (b"message", b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
BROKEN = (b"message", b'{"error":{"message":"no"}}')
COUNTED = Usage(7, 3, 0, 0, -1)


@pytest.mark.parametrize(
    ("events", "error", "usage", "estimated"),
    [
        ([*SAID, STOP, USED, DONE], None, COUNTED, False),
        ([*SAID, STOP, USED, DONE], ClientClosedRequest(), COUNTED, False),
        ([*SAID, STOP, USED], None, COUNTED, False),
        ([*SAID, STOP, DONE], None, Usage(10, 3), True),
        (SAID, ClientClosedRequest(), Usage(10, 3), True),
        (SAID, ShuttingDown(), Usage(10, 3), True),
        (SAID, UpstreamStreamBroken(), Usage(10, 3), True),
        ([*SAID, BROKEN], None, Usage(10, 3), True),
        ([], ClientClosedRequest(), Usage(10, -1), True),
        ([], UpstreamTimeout(), None, False),
        ([], UpstreamStreamBroken(), None, False),
        ([BROKEN], None, None, False),
    ],
)
def test_a_stream_is_charged_once_by_what_came_of_it(tally, events, error, usage, estimated):
    made = call(events=events, error=error)
    accounts = Accounts(tally)
    for _ in range(3):
        settle(accounts, made)
    assert (made.ledger.usage, made.ledger.estimated) == (usage, estimated)
    cost = 0 if usage is None else max(0, usage.input) * 2_500_000 + max(0, usage.output) * 10_000_000
    assert made.ledger.cost == (cost if usage is not None else -1)
    assert tally.total("edge_cost_usd_total") == pytest.approx(cost / PICO, abs=1e-18)
    assert tally.total("edge_estimated_requests_total") == estimated


@pytest.mark.parametrize(
    ("error", "status", "sent", "charged"),
    [
        (ClientClosedRequest(), 0, True, True),
        (ClientClosedRequest(), 200, True, True),
        (ShuttingDown(), 0, True, True),
        (ClientClosedRequest(), 0, False, False),
        (ClientClosedRequest(), 500, True, False),
        (UpstreamTimeout(), 0, True, False),
        (EdgeError(), 500, True, False),
        (None, 404, True, False),
    ],
)
def test_a_whole_answer_that_did_not_come_costs_its_input_if_it_was_given_up(tally, error, status, sent, charged):
    made = call(error=error, status=status, arrived=sent)
    settle(Accounts(tally), made)
    assert (made.ledger.usage, made.ledger.cost) == ((Usage(10, -1), 25_000_000) if charged else (None, -1))
    assert made.ledger.estimated == charged


def test_a_whole_answer_without_a_count_is_estimated(tally):
    made = call()
    settle(Accounts(tally), made, b'{"choices":[{"message":{"content":"%b"}}]}' % (b"word" * 25))
    assert (made.ledger.usage, made.ledger.estimated) == (Usage(10, 25), True)


@pytest.mark.parametrize("events", [None, [*SAID, STOP, DONE]])
def test_the_books_say_what_a_client_was_told(tally, events):
    told = Crossed(call(events=events).ledger.attempt.crossing.stream, Usage(8, 2))
    made = call(crossing=told)
    settle(Accounts(tally), made, b"{}" if events is None else None)
    assert (made.ledger.usage, made.ledger.estimated) == (Usage(8, 2), True)


def test_a_counted_answer_that_nobody_understood_is_billed_all_the_same(tally):
    made = call(usage=COUNTED, error=EdgeError())
    settle(Accounts(tally), made)
    assert made.ledger.cost == 7 * 2_500_000 + 3 * 10_000_000
    made.ledger.attempt.charged = False  # the next attempt
    settle(Accounts(tally), made)
    assert made.ledger.cost == 2 * (7 * 2_500_000 + 3 * 10_000_000)


def test_what_costs_nothing_or_cannot_be_told(tally):
    accounts = Accounts(tally)
    for made in (call(crossing=None), call(usage=COUNTED, path="/v1/messages/count_tokens")):
        settle(accounts, made, b"{}")
        assert not made.ledger.attempt.charged
    assert tally.counts == {}
    made = call("other")
    settle(accounts, made, b"{}")
    assert (made.ledger.usage, made.ledger.cost, made.ledger.estimated) == (None, -1, False)
    assert tally.counts == {("edge_unpriced_requests_total", "main"): 1}


def test_what_a_provider_said_on_the_way_stands():
    events = [
        (b"message_start", b'{"message":{"usage":{"input_tokens":70,"cache_read_input_tokens":9,"output_tokens":1}}}'),
        (b"content_block_start", b'{"type":"content_block_start","content_block":{"type":"text","text":""}}'),
        *[(b"content_block_delta", b'{"delta":{"type":"text_delta","text":"thirty-six bytes of text, or nearly."}}')]
        * 4,
    ]
    made = call("messages", events=events, error=ClientClosedRequest())
    settle(Accounts(Tally()), made)
    assert made.ledger.usage == Usage(70, 40, 9)
    assert estimate(lambda: 1, 0, Usage(70, 1)) == Usage(70, 1)


def test_an_estimated_input_is_never_more_than_the_model_takes():
    made = call(events=SAID, error=ClientClosedRequest(), body=b'{"messages":[%b]}' % (b" " * 2_000_000))
    accounts = Accounts(Tally())
    settle(accounts, made)
    assert made.ledger.usage.input == made.ledger.attempt.upstream.price.context_window == 128_000
