"""An upstream that has failed is asked again where there is no other."""

from __future__ import annotations

import time

import httpx2
import pytest

from tests.harness import Canned, Edge, answer, running

ANSWER = answer(
    b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
)
DOWN = b'{"error":{"message":"down"}}'


class Failing(Canned):
    """Gives `replies` one after the other, then answers."""

    def __init__(self):
        self.replies: list[bytes] = []
        super().__init__(lambda seen, number: self.replies.pop(0) if self.replies else ANSWER)


@pytest.fixture(scope="module")
def upstream():
    with Failing() as made:
        yield made


@pytest.fixture(scope="module")
def edge(upstream, front, tmp_path_factory):
    config = {
        "providers": {"p": {"dialect": "openai", "base_url": f"{upstream.url}/v1"}},
        "models": {"two": {"strategy": "failover", "upstreams": [{"to": "p/first"}, {"to": "p/second"}]}},
        "resilience": {"breaker": {"failures": 1_000_000}},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def ask(edge, model, path="chat/completions", **more):
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
    return httpx2.post(f"{edge.url}/v1/{path}", json=body, timeout=20)


@pytest.mark.parametrize("status", [408, 500, 502, 503])
def test_a_lone_failure_is_mended(edge, upstream, status):
    before = len(upstream.seen)
    upstream.replies[:] = [answer(DOWN, status)]
    got = ask(edge, f"m-{status}")
    assert (got.status_code, got.headers["x-edge-attempts"]) == (200, "2")
    assert len(upstream.seen) - before == 2


def test_a_short_wait_is_waited_for(edge, upstream):
    upstream.replies[:] = [answer(DOWN, 429, retry_after_ms="400")]
    begun = time.monotonic()
    got = ask(edge, "waits")
    assert (got.status_code, got.headers["x-edge-attempts"]) == (200, "2")
    assert time.monotonic() - begun >= 0.4


def test_a_long_one_is_the_clients(edge, upstream):
    upstream.replies[:] = [answer(DOWN, 429, retry_after="7")]
    got = ask(edge, "long")
    assert (got.status_code, got.headers["retry-after"], got.headers["x-edge-attempts"]) == (429, "7", "1")
    assert got.content == DOWN


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_provider_says_of_its_quota_alone_is_when_the_client_is_to_ask_again(edge, upstream, stream):
    upstream.replies[:] = [answer(DOWN, 429, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="1m30s")]
    got = ask(edge, f"quota-{stream}", stream=stream)
    assert (got.status_code, got.headers["retry-after"], got.content) == (429, "90", DOWN)
    assert 80_000 < int(got.headers["retry-after-ms"]) <= 90_000


def test_where_all_rest_the_client_is_told_of_the_soonest(edge, upstream):
    upstream.replies[:] = [answer(DOWN, 429, retry_after="9"), answer(DOWN, 429, retry_after="70")]
    got = ask(edge, "two")
    assert (got.status_code, got.headers["x-edge-attempts"]) == (429, "2")
    assert 1 <= int(got.headers["retry-after"]) <= 9
    again = ask(edge, "two")
    assert (again.status_code, again.json()["error"]["code"]) == (429, "upstream_rate_limited")
    assert int(again.headers["retry-after"]) <= int(got.headers["retry-after"])


def test_once_the_retries_are_spent_the_client_makes_none(edge, upstream):
    upstream.replies[:] = [answer(DOWN, 500)] * 3
    got = ask(edge, "spent")
    assert (got.status_code, got.content) == (500, DOWN)
    assert (got.headers["x-edge-attempts"], got.headers["x-should-retry"]) == ("3", "false")
    assert not upstream.replies


@pytest.mark.parametrize("status", [400, 404, 422, 501])
def test_what_is_said_against_the_request_is_said_once(edge, upstream, status):
    upstream.replies[:] = [answer(DOWN, status)]
    got = ask(edge, "m")
    assert (got.status_code, got.headers["x-edge-attempts"]) == (status, "1")


def test_work_that_is_kept_is_not_asked_for_twice(edge, upstream):
    upstream.replies[:] = [answer(DOWN, 500)]
    assert ask(edge, "m", "responses", input="hi").status_code == 500


def test_when_everything_fails_the_calls_stay_within_the_budget(edge, upstream):
    before = len(upstream.seen)
    upstream.replies[:] = [answer(DOWN, 500)] * 1000
    with httpx2.Client() as client:
        body = {"model": "all", "messages": []}
        for _ in range(100):
            assert client.post(f"{edge.url}/v1/chat/completions", json=body, timeout=20).status_code == 500
    calls = len(upstream.seen) - before
    print(f"100 requests, {calls} calls")
    assert calls <= 120


@pytest.mark.parametrize("status", [401, 402, 403, 429, 503])
def test_a_refused_key_is_not_asked_again(edge, upstream, status):
    """Whatever status says that it has no money, a wait that is short enough included."""
    before = len(upstream.seen)
    spent = b'{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"no money"}}'
    upstream.replies[:] = [answer(spent, status, retry_after_ms="50")]
    got = ask(edge, f"refused-{status}")
    assert (got.status_code, got.json()["error"]["code"]) == (503, "upstream_credentials_exhausted")
    assert len(upstream.seen) - before == 1
