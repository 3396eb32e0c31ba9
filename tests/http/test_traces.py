"""Traces of real edges, as a collector receives them: both fronts and dialects, streams, joins, hits, hedges, rescue, and
clients that leave.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path

import httpx2
import pytest

from tests.collector import Collector
from tests.harness import Client, Edge, Scripted, answer, in_pieces, minimal, providers, running, until

pytestmark = pytest.mark.early

CANARY = "canary-7f3a"
CONTENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


def tracing(collector, **more):
    return {"telemetry": {"tracing": {"otlp_endpoint": collector.url, "sample": 1.0, **more}}}


def two(first: str, second: str, **more):
    return {"strategy": "failover", "upstreams": [{"to": f"openai/{first}"}, {"to": f"other/{second}"}], **more}


@pytest.fixture(scope="module")
def collector():
    with Collector() as made:
        yield made


@pytest.fixture(scope="module")
def upstream():
    with Scripted() as made:
        yield made


@pytest.fixture(scope="module")
def traced(collector, upstream, front, tmp_path_factory):
    here = providers(upstream.url)
    config = {
        **tracing(collector),
        "providers": {**here, "other": here["openai"]},
        "models": {
            "over": two("down", "up"),
            "hedged": two("late", "up"),
            "rescued": {**two("breaks", "goes-on"), "upstreams": [
                {"to": "openai/breaks"}, {"to": "other/goes-on", "capabilities": {"continue_text": "assistant"}}]},
            "kept": {"upstreams": [{"to": "openai/slow"}], "cache": "all"},
            "plain": {"upstreams": [{"to": "openai/up"}]},
            "wise": {"upstreams": [{"to": "anthropic/up"}]},
        },
        "resilience": {"retries": 0, "breaker": {"failures": 1_000_000}, "hedge": {"enabled": True, "budget": 1.0},
                       "rescue": "text"},
    }  # fmt: skip
    upstream.script |= {
        "up": minimal,
        "down": answer(b'{"error":{"message":"down"}}', 500),
        "breaks": in_pieces(CONTENT, 0.05, end=False),
        "goes-on": in_pieces(CONTENT, END),
        "streams": in_pieces(0.1, CONTENT, 0.1, END),
        "endless": in_pieces(CONTENT, 5.0, END),
    }
    edge = Edge(tmp_path_factory.mktemp("traced"), config, front=front)
    with running(edge):
        yield edge


def ask(edge, model, path=PATHS["openai"], trace=None, said="hi", **fields):
    """The id of the trace, and the answer."""
    trace = trace or f"{threading.get_ident() + next(NUMBERS):032x}"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    body = {"model": model, "max_tokens": 30, "messages": [{"role": "user", "content": said}], **fields}
    return trace, httpx2.post(f"{edge.url}{path}", json=body, headers=headers, timeout=20)


NUMBERS = iter(range(1, 1 << 30))


def kinds(spans):
    return [span.kind for span in spans]


def events(span):
    return [name for name, _, _ in span.events]


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("model", ["plain", "wise"])
def test_a_request_and_its_attempt_are_one_trace_whatever_the_dialects(traced, collector, upstream, dialect, model):
    trace, reply = ask(traced, model, PATHS[dialect])
    assert reply.status_code == 200
    own, attempt = collector.wait_for(trace, 2)
    assert (kinds([own, attempt]), own.parent, attempt.parent) == (
        ["SERVER", "CLIENT"],
        "b7ad6b7169203331",
        own.span_id,
    )
    assert (own.name, attempt.name) == (f"POST {PATHS[dialect]}", "chat up")
    assert own.attributes["edge.request_id"] == reply.headers["x-request-id"]
    assert own.attributes["http.response.status_code"] == 200
    assert attempt.attributes["gen_ai.provider.name"] == ("anthropic" if model == "wise" else "openai")
    assert attempt.attributes["gen_ai.request.max_tokens"] == 30
    assert own.start <= attempt.start <= attempt.end <= own.end
    told = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-01", upstream.seen[-1].header("traceparent"))
    assert (told[1], told[2]) == (trace, attempt.span_id)
    assert own.resource["service.name"] == "llm-edge-agent"


def test_a_request_without_a_trace_begins_one_under_its_own_id(traced, collector, upstream):
    body = {"model": "plain", "messages": []}
    reply = httpx2.post(
        f"{traced.url}{PATHS['openai']}", json=body, headers={"traceparent": "00-junk-01", "tracestate": "a=b"}
    )
    (own, attempt) = collector.wait_for(reply.headers["x-request-id"], 2)
    assert (own.parent, own.state, attempt.attributes["http.response.status_code"]) == ("", "", 200)
    assert upstream.seen[-1].header("traceparent").startswith(f"00-{reply.headers['x-request-id']}-{attempt.span_id}-")
    traced.process.wait_for(
        f'"request_id":"{reply.headers["x-request-id"]}","trace_id":"{reply.headers["x-request-id"]}"'
    )


def test_a_stream_tells_when_its_first_content_came(traced, collector):
    trace, reply = ask(traced, "openai/streams", stream=True)
    assert reply.text.endswith("[DONE]\n\n")
    own, attempt = collector.wait_for(trace, 2)
    assert "edge.first_content" in events(own)
    assert 0.05 <= attempt.attributes["gen_ai.response.time_to_first_chunk"] <= attempt.end - attempt.start
    assert attempt.attributes["gen_ai.request.stream"] is True


def test_a_failover_has_two_attempts_one_after_the_other(traced, collector):
    trace, reply = ask(traced, "over")
    assert reply.status_code == 200
    own, first, second = collector.wait_for(trace, 3)
    assert (first.error, first.attributes["error.type"], second.error) == ("provider_error", "provider_error", "")
    assert first.end <= second.start + 1e-6
    assert "edge.failover" in events(own)
    assert own.error == ""


def test_a_failure_fails_both_spans(traced, collector):
    trace, reply = ask(traced, "openai/down")
    assert reply.status_code >= 500
    own, attempt = collector.wait_for(trace, 2)
    assert own.error
    assert (attempt.error, own.attributes["error.type"]) == ("provider_error", "provider_error")


def test_a_hedge_has_two_attempts_at_a_time(traced, collector, upstream):
    upstream.script["late"] = minimal
    for _ in range(120):  # until it is known how late nearly all answers are
        httpx2.post(f"{traced.url}{PATHS['openai']}", json={"model": "hedged", "messages": []})

    def late(seen, connection):
        threading.Event().wait(2.0)
        return minimal(seen)

    upstream.script["late"] = late
    trace, reply = ask(traced, "hedged")
    assert (reply.status_code, reply.headers["x-edge-attempts"]) == (200, "2")
    own, first, second = collector.wait_for(trace, 3)
    assert "edge.hedge" in events(own)
    assert own.attributes["edge.hedge"] == "won"
    assert first.start < second.start < first.end
    assert (first.error, second.error) == ("", "")


def test_a_stream_that_is_rescued_has_the_attempt_that_broke_and_the_one_that_went_on(traced, collector):
    trace, reply = ask(traced, "rescued", stream=True)
    assert "continued by other/goes-on" in reply.text
    own, first, second = collector.wait_for(trace, 3)
    assert first.attributes["error.type"] == "provider_stream_broken"
    assert "edge.rescue" in events(own)
    assert (own.error, second.error) == ("", "")


def test_a_client_that_leaves_ends_the_attempt(traced, collector):
    trace = f"{next(NUMBERS):032x}"
    body = json.dumps({"model": "openai/endless", "messages": [], "stream": True}).encode()
    with Client(traced.port) as client:
        client.post(PATHS["openai"], body, f"traceparent: 00-{trace}-b7ad6b7169203331-01")
        client.read_until(b"hi")
    own, attempt = collector.wait_for(trace, 2)
    assert (own.attributes["edge.outcome"], own.error, attempt.error) == ("cancelled", "", "")
    assert attempt.end - attempt.start < 4


def test_who_joins_is_linked_to_who_asked_and_a_hit_says_so(traced, collector, upstream):
    going = threading.Event()

    def slow(seen, connection):
        going.wait(10)
        return minimal(seen)

    upstream.script["slow"] = slow
    found: dict[str, tuple[str, httpx2.Response]] = {}

    def one(name: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: found.__setitem__(name, ask(traced, "kept", trace=f"{name:0>32}")))
        thread.start()
        return thread

    first = one("aa")
    until(lambda: upstream.asked_for("slow") >= 1)
    second = one("bb")
    until(lambda: joined(traced) >= 1)
    going.set()
    first.join()
    second.join()
    leader, attempt = collector.wait_for("aa".rjust(32, "0"), 2)
    (follower,) = collector.wait_for("bb".rjust(32, "0"), 1)
    assert (leader.attributes["edge.cache"], follower.attributes["edge.cache"]) == ("miss", "joined")
    assert follower.links == [(leader.trace_id, leader.span_id)]
    assert attempt.parent == leader.span_id
    trace, reply = ask(traced, "kept")
    assert reply.headers["x-edge-cache"] == "memory"
    (hit,) = collector.wait_for(trace, 1)
    assert (hit.attributes["edge.cache"], events(hit)) == ("memory", ["edge.cache"])


def joined(edge) -> float:
    found = re.search(r"^edge_cache_joined_total (\S+)", httpx2.get(f"{edge.url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_no_prompt_is_told_and_what_is_wanted_is_masked(collector, upstream, tmp_path):
    said = f"{CANARY} someone@example.com"
    for content, front in ((False, "lane"), (True, "asgi")):
        config = {**tracing(collector, content=content), "providers": providers(upstream.url)}
        edge = Edge(tmp_path, config, front=front)
        before = len(collector.messages)
        with running(edge):
            trace, _ = ask(edge, "openai/up", said=said)
            own, _ = collector.wait_for(trace, 2)
        messages = b"".join(collector.messages[before:])
        assert (CANARY.encode() in messages) is content
        assert b"example.com" not in messages
        if content:
            told = json.loads(own.attributes["gen_ai.input.messages"])
            assert told == [{"role": "user", "parts": [{"type": "text", "content": f"{CANARY} [EMAIL]"}]}]


def test_the_share_that_is_sampled_is_right_over_all_workers(upstream, tmp_path):
    asked, share = 2000, 0.2
    with Collector() as mine:
        config = {
            "providers": providers(upstream.url),
            "server": {"workers": 4},
            "telemetry": {"tracing": {"otlp_endpoint": mine.url, "sample": share}, "log": {"level": "error"}},
        }
        edge = Edge(tmp_path, config)
        with running(edge):
            ids: list[str] = []

            def many() -> None:
                for _ in range(asked // 20):
                    with httpx2.Client() as client:
                        for _ in range(5):
                            body = {"model": "openai/up", "messages": []}
                            ids.append(client.post(f"{edge.url}{PATHS['openai']}", json=body).headers["x-request-id"])

            threads = [threading.Thread(target=many) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            bound = share * (1 << 64)
            expected = {each for each in ids if int(each[16:], 16) < bound}
            until(lambda: expected <= set(mine.traces()))
        owns = [span for span in mine.spans if span.kind == "SERVER"]
        sampled = [span for span in owns if span.attributes["edge.kept"] == "sampled"]
        assert {span.trace_id for span in sampled} == expected
        assert len(sampled) == len(expected)
        assert abs(len(expected) / asked - share) < 0.04
        assert len({span.resource["service.instance.id"] for span in sampled}) >= 2
        assert {span.attributes["edge.kept"] for span in owns} <= {"sampled", "slow"}


def test_a_reload_turns_it_on_and_off(upstream, tmp_path):
    with Collector() as mine:
        off = {"providers": providers(upstream.url)}
        edge = Edge(tmp_path, off)

        def reload(config) -> None:
            edge.path.write_text(json.dumps(config))
            edge.process.process.send_signal(signal.SIGHUP)

        def is_traced() -> bool:
            httpx2.post(f"{edge.url}{PATHS['openai']}", json={"model": "openai/up", "messages": []})
            return upstream.seen[-1].header("traceparent") is not None

        with running(edge):
            assert not is_traced()
            reload({**off, **tracing(mine)})
            until(is_traced)
            until(lambda: mine.spans)
            reload(off)
            until(lambda: not is_traced())
            trace, _ = ask(edge, "openai/up")
            assert (upstream.seen[-1].header("traceparent") or "").startswith(f"00-{trace}-")
            assert 'needs_restart":[]' in edge.process.output
            edge.process.stop()
        assert trace not in mine.traces()


def test_a_worker_that_ends_has_sent_what_it_had_and_the_next_one_goes_on(upstream, tmp_path):
    with Collector() as mine:
        config = {**tracing(mine), "providers": providers(upstream.url)}
        edge = Edge(tmp_path, config)
        with running(edge):
            trace, _ = ask(edge, "openai/up")
            mine.wait_for(trace, 2)
            (worker,) = workers_of(edge)
            os.kill(worker, signal.SIGKILL)
            until(lambda: workers_of(edge) not in ([], [worker]))
            until(lambda: is_answered(edge))
            trace, _ = ask(edge, "openai/up")
            mine.wait_for(trace, 2)
            last, _ = ask(edge, "openai/up")
            edge.process.stop()
        assert len(mine.traces()[last]) == 2


def workers_of(edge) -> list[int]:
    try:
        text = Path(f"/proc/{edge.process.pid}/task/{edge.process.pid}/children").read_text()
    except OSError:
        return []
    return [int(each) for each in text.split()]


def is_answered(edge) -> bool:
    try:
        return ask(edge, "openai/up")[1].status_code == 200
    except httpx2.TransportError:
        return False
