"""Several upstreams of one alias, tried in order until one gives content."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from edge.guard.auth import new_key
from tests.harness import PATIENT, Canned, Client, Edge, Simulator, answer, running

pytestmark = pytest.mark.early

SAID = [{"role": "user", "content": "hi"}]
KEY, DIGEST = new_key("limited")
ADMIN, ADMIN_DIGEST = new_key("all")


@pytest.fixture(scope="module")
def second():
    """The upstream that answers."""
    made = Simulator()
    with running(made):
        yield made


@pytest.fixture(scope="module")
def edge(simulator, second, front, tmp_path_factory):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        urls = {"a": simulator.url, "b": second.url, "down": f"http://127.0.0.1:{unused.getsockname()[1]}"}
        providers = {}
        for name, url in urls.items():
            providers[name] = {"dialect": "openai", "base_url": f"{url}/v1", "models": []}
            providers[f"{name}-anthropic"] = {"dialect": "anthropic", "base_url": f"{url}/v1", "models": []}
        faults = [
            "429",
            "429-words-9",
            "500",
            "503",
            "529",
            "408",
            "401",
            "hang",
            "hang-1",
            "hang-50",
            "rst",
            "cut",
            "cut-1",
            "inband-1",
            "400",
            "404",
            "words-30-cut-9",
        ]
        plans = {
            fault: f"sim-{fault}-noretry" if fault[:3] in ("429", "503", "529") else f"sim-{fault}" for fault in faults
        }
        models = {
            fault: {"strategy": "failover", "upstreams": [{"to": f"a/{plan}"}, {"to": "b/good"}]}
            for fault, plan in plans.items()
        }
        models |= {
            f"m-{fault}": {
                "strategy": "failover",
                "upstreams": [{"to": f"a-anthropic/{plan}"}, {"to": "b-anthropic/good"}],
            }
            for fault, plan in plans.items()
        }
        models["down"] = {"upstreams": [{"to": "down/x"}], "fallbacks": ["mine", "theirs"]}
        models["mine"] = {"upstreams": [{"to": "a/sim-503-noretry"}]}
        models["theirs"] = {"upstreams": [{"to": "b/good"}]}
        models["one-could"] = {
            "strategy": "failover",
            "upstreams": [{"to": "a-anthropic/sim-529-noretry"}, {"to": "b/good"}],
        }
        models["all-bad"] = {
            "strategy": "failover",
            "upstreams": [{"to": "a/sim-503-noretry"}, {"to": "down/x"}, {"to": "b/sim-429-retry-7"}],
        }
        models["cached"] = models["hang"] | {"cache": "all"}
        models["slow"] = {
            "strategy": "failover",
            "upstreams": [{"to": "a/sim-hang"}, {"to": "a/sim-hang"}, {"to": "a/sim-hang"}],
        }
        config = {
            "auth": {
                "keys": [
                    {"id": "limited", "digests": [DIGEST], "models": ["down", "mine"]},
                    {"id": "all", "digests": [ADMIN_DIGEST]},
                ]
            },
            "providers": providers,
            "models": models,
            "resilience": {
                "first_content_s": 1.2,
                "attempt_s": 1.2,
                "idle_s": 2,
                "total_s": 3.6,
                **PATIENT,
            },
        }
        made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
        with running(made):
            yield made


def ask(edge, model, stream=False, key=ADMIN, path="/v1/chat/completions", **more):
    body = {"model": model, "messages": SAID, "stream": stream, "max_tokens": 50}
    return httpx2.post(edge.url + path, json=body, headers={"x-api-key": key, **more}, timeout=10)


@pytest.mark.parametrize("fault", ["429", "500", "503", "529", "408", "401", "rst", "cut"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", ["chat", "messages"])
def test_the_next_upstream_answers(edge, second, fault, stream, api):
    before = second.count()
    if stream and fault == "429":
        fault = "429-words-9"  # who has just met a 429 asks others for that model
    path, model = ("/v1/chat/completions", fault) if api == "chat" else ("/v1/messages", f"m-{fault}")
    got = ask(edge, model, stream, path=path)
    assert got.status_code == 200
    assert got.headers["x-edge-attempts"] == "2"
    assert got.headers["x-edge-provider"].startswith("b")
    assert got.headers["x-edge-model"] == "good"
    assert json.loads(second.entry(before)["body"])["model"] == "good"
    if stream:
        assert got.text.rstrip().endswith("[DONE]" if api == "chat" else '{"type":"message_stop"}')


@pytest.mark.parametrize("fault", ["hang", "hang-1", "cut-1", "inband-1"])
def test_streams_without_content_fail_over_too(edge, fault):
    got = ask(edge, fault, stream=True)
    assert got.status_code == 200
    assert got.headers["x-edge-attempts"] == "2"
    assert got.text.endswith("data: [DONE]\n\n")
    assert "Overloaded" not in got.text


@pytest.mark.parametrize("fault", ["hang", "hang-50"])
@pytest.mark.parametrize("api", ["chat", "messages", "translated"])
def test_a_silent_provider_costs_one_attempt_of_a_whole_answer(edge, second, fault, api):
    """Silent from the start, or after fifty bytes of the body."""
    before = second.count()
    path = "/v1/messages" if api == "messages" else "/v1/chat/completions"
    got = ask(edge, fault if api == "chat" else f"m-{fault}", path=path)
    assert got.status_code == 200
    assert got.headers["x-edge-attempts"] == "2"
    assert got.headers["x-edge-provider"].startswith("b")
    assert json.loads(second.entry(before)["body"])["model"] == "good"


def test_a_crowd_that_shares_a_call_shares_the_failover(edge, second):
    before = second.count()
    with ThreadPoolExecutor(2) as crowd:
        got = list(crowd.map(lambda _: ask(edge, "cached"), range(2)))
    assert [each.status_code for each in got] == [200, 200]
    assert {each.headers["x-edge-attempts"] for each in got} == {"2"}
    assert second.count() - before == 1


def test_a_failure_of_the_only_one_that_could_answer_is_not_the_clients_fault(edge, second):
    """The second upstream is of the other dialect, which has no such tool."""
    before = second.count()
    body = {"model": "one-could", "max_tokens": 50, "messages": SAID}
    body["tools"] = [{"type": "web_search_20250305", "name": "web_search"}]
    got = httpx2.post(edge.url + "/v1/messages", json=body, headers={"x-api-key": ADMIN}, timeout=10)
    assert got.status_code == 503
    assert got.headers["retry-after"] == "1"
    assert got.headers["x-edge-attempts"] == "2"
    assert got.json()["error"]["message"].startswith("No provider that could answer")
    assert second.count() == before


@pytest.mark.parametrize("status", ["400", "404"])
def test_what_the_request_is_to_blame_for_does_not(edge, second, status):
    before = second.count()
    got = ask(edge, status)
    assert got.status_code == int(status)
    assert got.headers["x-edge-attempts"] == "1"
    assert second.count() == before


def test_after_the_first_content_never(edge, simulator, second):
    """The ledgers: one request, and no repeated text; the stream ends in an error event."""
    before, before_second = simulator.count(), second.count()
    got = ask(edge, "words-30-cut-9", stream=True)
    assert got.status_code == 200
    assert "upstream_stream_broken" in got.text
    assert "[DONE]" not in got.text
    assert (simulator.count() - before, second.count() - before_second) == (1, 0)


def test_fallbacks_come_after_the_aliases_own_and_only_where_granted(edge, second):
    got = ask(edge, "down")
    assert got.status_code == 200
    assert got.headers["x-edge-attempts"] == "3"
    before = second.count()
    got = ask(edge, "down", key=KEY)
    assert got.status_code == 503, "mine answers so, and theirs is not granted"
    assert got.headers["x-edge-attempts"] == "2"
    assert second.count() == before
    assert ask(edge, "theirs", key=KEY).status_code == 403


def test_when_all_fail_the_last_answer_is_the_clients(edge):
    got = ask(edge, "all-bad")
    assert got.status_code == 429
    assert got.headers["retry-after"] == "7"
    assert got.headers["x-edge-attempts"] == "3"
    assert got.json()["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("stream", [False, True])
def test_one_deadline_bounds_all_attempts(edge, simulator, stream, stalls):
    before = simulator.count()
    begun = time.monotonic()
    got = ask(edge, "slow", stream=stream)
    assert got.status_code == 504
    assert 2.8 < time.monotonic() - begun < 7 + stalls.granted_s
    assert simulator.count() - before == 3
    before = simulator.count()
    assert ask(edge, "slow", stream=stream, **{"x-edge-timeout-ms": "500"}).status_code == 504
    assert simulator.count() - before == 1, "its time ended within the first attempt"


def test_a_client_that_left_is_not_tried_for_again(edge, simulator, second):
    before, before_second = simulator.count(), second.count()
    with Client(edge.port) as client:
        body = json.dumps({"model": "hang", "messages": SAID, "stream": True}).encode()
        client.post("/v1/chat/completions", body, f"x-api-key: {ADMIN}")
        simulator.entry(before)
    simulator.entry(before, lambda entry: entry["left"])
    time.sleep(1.6)  # the first attempt would have ended
    assert second.count() == before_second


def test_amplification_is_bounded_by_the_list(tmp_path):
    """Two upstreams, all failing, and no retries: two calls a request, and one of the least bad once the breakers are
    open.
    """
    with Canned(answer(b"{}", 503)) as a, Canned(answer(b"{}", 503)) as b:
        config = {
            "providers": {n: {"dialect": "openai", "base_url": f"{c.url}/v1"} for n, c in (("a", a), ("b", b))},
            "models": {"x": {"strategy": "failover", "upstreams": [{"to": "a/m"}, {"to": "b/m"}]}},
            "resilience": {"retries": 0},
        }
        edge = Edge(tmp_path, config)
        with running(edge):
            for sent in (10, *range(11, 16)):
                for _ in range(5 if sent == 10 else 1):
                    assert httpx2.post(f"{edge.url}/v1/chat/completions", json={"model": "x"}).status_code == 503
                assert len(a.seen) + len(b.seen) == sent
