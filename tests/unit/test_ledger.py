"""What becomes of a request: what a flight gives its followers, and in what kind of failure a request has ended."""

from __future__ import annotations

import pytest

import edge.clock
from edge.cache.entry import Entry
from edge.errors import ClientClosedRequest, RateLimited, UpstreamTimeout
from edge.hooks import Usage
from edge.ledger import BYPASS, JOINED, MEMORY, MISS, REDIS, UNCACHED, Answered, Ledger, Source

VERDICTS = (UNCACHED, MISS, BYPASS, JOINED, MEMORY, REDIS)


class Attempted(Answered):
    """An attempt whose answer told of a failure, or did not."""

    def __init__(self, told: bool) -> None:
        self.told = told

    def broke(self) -> bool:
        return self.told


def flown() -> Ledger:
    """That of a flight which one upstream answered, as the second that was asked."""
    ledger = Ledger()
    ledger.upstream, ledger.attempt = Source("p", "m", b"", None), Attempted(False)
    ledger.attempts = 2
    ledger.usage, ledger.cost, ledger.estimated = Usage(7, 3), 40, True
    return ledger


def test_nothing_has_become_of_a_request_that_begins():
    ledger = Ledger()
    assert (ledger.upstream, ledger.attempts, ledger.usage, ledger.cost, ledger.cache) == (None, 0, None, -1, UNCACHED)
    assert ledger.failure(200) == ""


@pytest.mark.parametrize(
    ("cache", "cost", "estimated"),
    [(MISS, 40, True), (JOINED, -1, False), (UNCACHED, -1, False), (MEMORY, -1, False), (REDIS, -1, False)],
)
def test_what_a_flight_cost_is_in_the_ledger_of_the_call_that_missed_alone(cache, cost, estimated):
    ledger, flight = Ledger(), flown()
    ledger.cache = cache
    ledger.accounts_for(flight)
    assert (ledger.usage, ledger.cost, ledger.estimated) == (Usage(7, 3), cost, estimated)


def test_who_shares_a_flight_has_its_upstream_and_its_attempts():
    ledger, flight = Ledger(), flown()
    ledger.shares(flight)
    assert (ledger.upstream, ledger.attempt, ledger.attempts) == (flight.upstream, flight.attempt, 2)
    assert (ledger.usage, ledger.cost) == (None, -1)


def test_a_stored_answer_brings_its_tokens_and_costs_nothing():
    ledger = Ledger()
    entry = Entry("chat", b"{}", (), Usage(7, 3), "openai", "gpt-4o", 40, 0.0, 0.0)
    ledger.recalled(entry, REDIS)
    assert (ledger.cache, ledger.stored, ledger.usage, ledger.cost) == (REDIS, entry, Usage(7, 3), -1)


def test_waiting_adds_up_and_what_overlaps_counts_once(monkeypatch):
    ledger, now = Ledger(), [1000.0]
    monkeypatch.setattr(edge.clock, "reading", lambda: now[0])
    ledger.waited(990.0)
    now[0] = 1010.0
    ledger.waited(1005.0)
    assert ledger.upstream_s == 15.0
    now[0] = 1020.0
    ledger.waited(1008.0)
    ledger.waited(1008.0)
    assert ledger.upstream_s == 25.0


@pytest.mark.parametrize(
    ("status", "error", "told", "broke", "kind"),
    [
        (200, None, "", None, ""),
        (200, None, "", False, ""),
        (200, None, "", True, "provider_stream_broken"),
        (200, None, "provider_overloaded", True, "provider_overloaded"),
        (200, UpstreamTimeout(), "", True, "provider_timeout"),
        (0, ClientClosedRequest(), "", None, "client_cancelled"),
        (429, RateLimited(), "", None, "policy_rate_limited"),
        (429, None, "", False, "provider_rate_limited"),
        (400, None, "", False, "client_invalid"),
    ],
)
def test_a_failure_is_that_of_the_edge_then_what_a_stream_told_then_the_status(status, error, told, broke, kind):
    ledger = Ledger()
    ledger.error, ledger.kind = error, told
    ledger.attempt = None if broke is None else Attempted(broke)
    assert ledger.failure(status) == kind


def test_each_verdict_has_its_word_and_a_cache_status_where_nothing_stored_is_served():
    assert [verdict.word for verdict in VERDICTS] == ["", "miss", "bypass", "joined", "memory", "redis"]
    assert UNCACHED.lines == b""
    assert [verdict for verdict in VERDICTS if b"cache-status" in verdict.lines] == [MISS, BYPASS, JOINED]
    assert JOINED.lines == b"x-edge-cache: joined\r\ncache-status: edge; fwd=miss; collapsed\r\n"
    assert MEMORY.lines == b"x-edge-cache: memory\r\n"
