"""What is measured beside requests: picking, quotas of providers, commands of Redis, looking for personal data."""

from __future__ import annotations

import re
from time import time
from types import SimpleNamespace

import pytest

from edge.cache.entry import Entry
from edge.redis.pipe import Command, RedisUnavailable
from edge.server.levels import SAID_S, Levels
from edge.telemetry.metrics import Metrics
from edge.upstreams.waits import remaining
from tests.unit.lanes import ANSWER, BODY, post
from tests.unit.test_dispatch import made, provider
from tests.unit.test_reservations_redis import Redis
from tests.unit.timed import JSON

__all__ = ["made"]

OPENAI = {b"x-ratelimit-remaining-requests": b"59", b"x-ratelimit-remaining-tokens": b"149984"}
CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKED += b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"
HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
ANTHROPIC = {
    b"anthropic-ratelimit-requests-remaining": b"49",
    b"anthropic-ratelimit-input-tokens-remaining": b"30000",
    b"anthropic-ratelimit-output-tokens-remaining": b"8000",
}


def samples(metrics, metric):
    """The samples of a metric, by their labels."""
    found = re.findall(rf"^{metric}{{(.*)}} (\S+)$", metrics.render().decode(), re.MULTILINE)
    return {labels: float(value) for labels, value in found}


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        (OPENAI, {"requests": 59, "tokens": 149984}),
        (ANTHROPIC, {"requests": 49, "input_tokens": 30000, "output_tokens": 8000}),
        ({b"x-ratelimit-remaining": b"7"}, {"requests": 7}),
        ({b"x-ratelimit-remaining": b"7", b"x-ratelimit-remaining-requests": b"3"}, {"requests": 3}),
        ({b"x-ratelimit-remaining-tokens": b"many", b"x-ratelimit-remaining-requests": b"-1"}, {}),
        ({}, {}),
    ],
)
def test_what_is_left_of_a_quota_is_read_in_both_dialects(headers, left):
    assert remaining(headers) == left


def levels(*providers):
    metrics = Metrics()
    state = SimpleNamespace(providers={f"p{n}": each for n, each in enumerate(providers)})
    return Levels(SimpleNamespace(state=state), metrics, None, None), metrics


def test_quotas_of_providers_are_told_by_the_least_of_their_keys_until_nobody_says_so_any_more():
    said = [[{"requests": 9.0, "tokens": 100.0}, {"requests": 4.0}], [{}, {}], [{}, {"requests": 6.0}]]
    look, metrics = levels(SimpleNamespace(remaining=lambda: said.pop(0)))
    name = "edge_upstream_ratelimit_remaining"
    look._look_at_quotas(0.0)
    assert samples(metrics, name) == {'kind="requests",provider="p0"': 4, 'kind="tokens",provider="p0"': 100}
    look._look_at_quotas(SAID_S / 2)
    assert samples(metrics, name) == {'kind="requests",provider="p0"': 4, 'kind="tokens",provider="p0"': 100}
    look._look_at_quotas(SAID_S + 1)
    assert samples(metrics, name) == {'kind="requests",provider="p0"': 6}


def test_what_an_answer_says_of_a_quota_is_told_once_by_the_provider(made):
    worker = made({"a": provider(api_keys=["key-one", "key-two"])})
    worker.ask("smart")
    worker.run(worker.sent("a").answers, 200, [*JSON, *OPENAI.items()], ANSWER)
    asked = worker.gateway.state.providers["a"]
    assert sorted(asked.remaining(), key=len) == [{}, {"requests": 59, "tokens": 149984}]
    assert asked.remaining() == [{}, {}]


def test_a_decision_is_counted_by_its_strategy_and_whom_it_picked(made):
    worker = made({"a": provider(), "b": provider()})
    metrics = worker.app.metrics
    worker.ask("smart")
    worker.run(worker.sent("a").answers, 500, JSON, b"{}")
    worker.run(worker.sent("b").answers, 200, JSON, ANSWER)
    assert samples(metrics, "edge_routing_decisions_total") == {
        'provider="a",strategy="failover"': 1,
        'provider="b",strategy="failover"': 1,
    }
    assert samples(metrics, "edge_routing_duration_seconds_count") == {'strategy="failover"': 2}


def test_waiting_for_redis_before_a_request_is_sent_is_no_overhead(made):
    models = {"smart": {"upstreams": [{"to": "a/m"}], "budget": {"usd": 5, "per": "day"}}}
    worker = made({"a": provider(prices={"*": {"input": 1, "output": 1}})}, models)
    redis = worker.gateway.counts.shared = Redis()
    worker.ask("smart")
    assert worker.count("a") == 0
    worker.clock.now += 0.04
    worker.run(redis.answer)  # it says nothing: this machine counts alone
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    record = worker.records[-1]
    assert record.overhead_s == pytest.approx(0.0, abs=1e-6)
    assert record.duration_s == pytest.approx(0.04, abs=1e-6)


class Stored:
    """Redis as the cache asks it, which says what it has when `tell` is called."""

    ready = True

    def __init__(self):
        self.inquirer = None

    def get(self, digest, tenant, inquirer):
        self.inquirer = inquirer
        return self

    def lease(self, digest, token, ttl_ms, told):
        """Nobody else may have the right to ask."""

    def put(self, *answer):
        return True

    def release(self, *lease): ...

    def cancel(self): ...

    def tell(self, body):
        entry = Entry("chat", body, (), None, "p", "m", 5, time(), time() + 60) if body else None
        self.inquirer.found(entry)


@pytest.mark.parametrize(("has", "cache"), [(ANSWER, "redis"), (b"", "miss"), (None, "miss")])
def test_waiting_for_redis_to_say_whether_it_has_an_answer_is_no_overhead(made, has, cache):
    worker = made({"a": provider()}, cache={"mode": "all"})
    redis = worker.gateway.answers._remote = Stored()
    lane = worker.ask("smart")
    worker.clock.now += 0.04
    if has is None:
        worker.run(lane.connection_lost, None)
    else:
        worker.run(redis.tell, has)
    if has == b"":
        worker.clock.now += 1.0
        worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    record = worker.records[-1]
    assert record.cache == cache
    assert record.duration_s == pytest.approx(1.04 if has == b"" else 0.04)
    assert record.overhead_s == pytest.approx(0.0, abs=1e-6)


def test_the_time_in_which_the_body_comes_is_no_overhead(made):
    worker = made({"a": provider()})
    lane = worker.connect()
    request = post(BODY.replace(b"gpt-4o", b"smart"))
    worker.run(lane.data_received, request[:-5])
    worker.clock.now += 3.0
    worker.run(lane.data_received, request[-5:])
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    record = worker.records[-1]
    assert (record.status, record.duration_s) == (200, pytest.approx(3.0))
    assert record.overhead_s == pytest.approx(0.0, abs=1e-6)


def test_the_time_in_which_requests_before_it_are_answered_is_no_overhead(made):
    worker = made({"a": provider()})
    lane = worker.connect()
    request = post(BODY.replace(b"gpt-4o", b"smart"))
    worker.run(lane.data_received, request * 2)
    worker.clock.now += 3.0
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert worker.count("a") == 2
    worker.clock.now += 1.0
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert [record.duration_s for record in worker.records] == [pytest.approx(3.0), pytest.approx(4.0)]
    assert [record.overhead_s for record in worker.records] == [pytest.approx(0.0, abs=1e-6)] * 2


def test_the_time_in_which_a_body_comes_that_is_never_whole_is_no_overhead(made):
    worker = made({"a": provider()}, server={"max_body_bytes": 1024})
    gone, refused = worker.connect(), worker.connect()
    worker.run(gone.data_received, post(BODY)[:-5])
    worker.run(refused.data_received, CHUNKED)
    worker.clock.now += 3.0
    worker.run(gone.connection_lost, None)
    worker.run(refused.data_received, b"800\r\n" + b" " * 2048)
    assert [record.error_kind for record in worker.records] == ["client_cancelled", "client_too_large"]
    for record in worker.records:
        assert (record.duration_s, record.overhead_s) == (pytest.approx(3.0), pytest.approx(0.0, abs=1e-6))


def test_the_time_in_which_a_body_comes_over_asgi_that_is_never_whole_is_no_overhead(made):
    worker = made({"a": provider()}, server={"max_body_bytes": 1024})
    for ends in ({"type": "http.disconnect"}, {"type": "http.request", "body": b" " * 2048, "more_body": True}):
        messages = [{"type": "http.request", "body": b"{", "more_body": True}, ends]

        async def receive(messages=messages):
            worker.clock.now += 1.5
            return messages.pop(0)

        async def send(message):
            pass

        scope = {"type": "http", "method": "POST", "raw_path": b"/v1/chat/completions", "client": ("127.0.0.1", 1)}
        worker.loop.run_until_complete(worker.app({**scope, "headers": HEADERS}, receive, send))
        record = worker.records[-1]
        assert (record.duration_s, record.overhead_s) == (pytest.approx(3.0), pytest.approx(0.0, abs=1e-6))
    assert [record.error_kind for record in worker.records] == ["client_cancelled", "client_too_large"]


def test_commands_of_redis_are_measured_by_their_use_and_what_became_of_them():
    took = []
    for tell in (
        lambda command: command.answer(b"x"),
        lambda command: command.fail(RedisUnavailable("timeout")),
        lambda command: command.cancel(),
    ):
        command = Command(b"", "read")
        command.asked(lambda use, outcome, seconds: took.append((use, outcome, seconds >= 0)))
        tell(command)
        assert not command.live
    assert took == [("read", "ok", True), ("read", "timeout", True)]
