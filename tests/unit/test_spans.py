"""The spans of a request, by hand: their shape, their times, their events, and what is not in them."""

from __future__ import annotations

import json
import re

import pytest

from edge.guard.auth import ANYONE
from edge.sockets.office import particulars
from edge.telemetry.spans import MAX_CONTENT
from tests.unit.lanes import ANSWER, post
from tests.unit.test_dispatch import CONTENT, DONE, DOWN, provider
from tests.unit.test_grant import CHAT
from tests.unit.timed import EVENTS, JSON, told
from tests.unit.traced import TracedWorker, named

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"traceparent: 00-{TRACE}-{PARENT}-01"
USED = b'{"id":"c","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}'
CANARY = "canary-7f3a"


@pytest.fixture
def made(monkeypatch):
    workers = []

    def make(strategy="failover", names="ab", tracing=None, resilience=None, **more):
        settings = {
            "providers": {name: provider() for name in names},
            "models": {"smart": {"strategy": strategy, "upstreams": [{"to": f"{name}/m"} for name in names]}},
            "resilience": {"breaker": {"failures": 1_000_000}, **(resilience or {})},
            **more,
        }
        workers.append(TracedWorker(settings, monkeypatch, **(tracing or {})))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


def parent_sent(sent):
    """The traceparent that a provider was sent."""
    return re.search(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\r\n", sent.request.fields)


def test_a_forward_is_a_span_of_the_request_and_one_of_the_attempt(made):
    worker = made()
    worker.ask("smart", SAMPLED, temperature=0.5, max_tokens=7, n=1, seed=3)
    worker.after(0.5)
    worker.run(worker.sent("a").answers, 200, JSON, USED)
    own, (attempt,) = worker.spans()
    (record,) = worker.records
    assert (worker.kept[0].context.trace_id, own.parent, record.trace_id) == (TRACE, PARENT, TRACE)
    assert (own.name, own.error, own.link) == ("POST /v1/chat/completions", "", None)
    assert own.end - own.start == pytest.approx(0.5)
    assert named(own) == ["edge.route"]
    assert own.events[0].attributes == {"edge.strategy": "failover", "edge.upstream": "a/m", "edge.upstreams": 2}
    expected = {
        "http.request.method": "POST", "http.route": "/v1/chat/completions", "http.response.status_code": 200,
        "edge.kept": "sampled", "edge.outcome": "ok", "edge.attempts": 1, "edge.alias": "smart",
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "smart", "edge.request_id": record.request_id,
    }  # fmt: skip
    assert expected.items() <= own.attributes.items()
    assert attempt.name == "chat m"
    assert (attempt.start, attempt.end) == (own.start, own.end)
    expected = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "a", "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 7, "gen_ai.request.choice.count": 1,
        "gen_ai.request.seed": 3, "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 2, "http.response.status_code": 200,
        "server.address": "127.0.0.1", "server.port": 9, "edge.health": "ok",
    }  # fmt: skip
    assert expected.items() <= attempt.attributes.items()
    assert {"error.type", "http.request.resend_count"}.isdisjoint(attempt.attributes)
    sent = parent_sent(worker.sent("a"))
    assert (sent[1].decode(), sent[2].decode(), sent[3]) == (TRACE, attempt.span_id, b"01")


def test_what_a_coding_agent_says_that_a_request_is_a_part_of_is_told(made):
    worker = made()
    worker.ask("smart", SAMPLED, "x-claude-code-session-id: s-1", "x-claude-code-agent-id: explorer", "session-id: s-2")
    worker.run(worker.sent("a").answers, 200, JSON, USED)
    own, _ = worker.spans()
    assert (own.attributes["edge.session"], own.attributes["edge.agent"]) == ("s-1", "explorer")
    assert "edge.thread" not in own.attributes


def test_how_a_websocket_ended_and_what_was_said_over_it_is_told(made):
    worker = made()
    worker.ask("smart", SAMPLED, "x-claude-code-session-id: s-1")
    (call,) = worker.gateway.under_way
    call.ledger.particulars = particulars("client", 1000, 2, 3, 4)
    worker.run(worker.sent("a").answers, 200, JSON, USED)
    told = worker.spans()[0].attributes
    expected = {
        "edge.session": "s-1", "edge.ended_by": "client", "edge.close_code": 1000, "edge.responses": 2,
        "edge.messages_in": 3, "edge.messages_out": 4,
    }  # fmt: skip
    assert expected.items() <= told.items()


def test_a_trace_that_begins_here_has_the_id_that_was_drawn_for_the_request(made):
    worker = made()
    worker.ask("smart", "traceparent: 00-junk", "tracestate: a=b")
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    own, _ = worker.spans()
    (record,) = worker.records
    assert (own.parent, worker.kept[0].context.trace_id) == ("", record.request_id)
    assert b"tracestate" not in worker.sent("a").request.fields
    assert parent_sent(worker.sent("a"))[1].decode() == record.request_id
    worker.ask("smart", "x-request-id: mine")
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    record = worker.records[-1]
    assert record.request_id == "mine"
    assert re.fullmatch("[0-9a-f]{32}", record.trace_id)
    assert worker.kept[1].context.trace_id == record.trace_id


@pytest.mark.parametrize("twice", ["traceparent", "tracestate"])
def test_what_is_given_twice_is_not_taken(made, twice):
    worker = made()
    fields = [SAMPLED, "tracestate: a=b", SAMPLED if twice == "traceparent" else "tracestate: c=d"]
    worker.ask("smart", *fields)
    assert b"tracestate" not in worker.sent("a").request.fields
    assert (parent_sent(worker.sent("a"))[1].decode() == TRACE) is (twice == "tracestate")


def test_the_state_goes_on_and_a_provider_may_be_told_less(made):
    held = {"drop_headers": ["tracestate"]}, {"drop_headers": ["trace*"]}
    worker = made(providers={"a": provider(), "b": provider(**held[0]), "c": provider(**held[1])},
                  models={name: {"upstreams": [{"to": f"{name}/m"}]} for name in "abc"})  # fmt: skip
    for name in "abc":
        worker.ask(name, SAMPLED, "tracestate: a=b,c=d")
    fields = [worker.sent(name).request.fields for name in "abc"]
    assert [b"tracestate: a=b,c=d\r\n" in each for each in fields] == [True, False, False]
    assert [b"traceparent: " in each for each in fields] == [True, True, False]


def test_a_failover_has_a_span_for_each_attempt_and_says_why(made):
    worker = made()
    worker.ask("smart", SAMPLED)
    worker.after(0.1)
    worker.run(worker.sent("a").answers, 500, JSON, DOWN)
    worker.after(0.2)
    worker.run(worker.sent("b").answers, 200, JSON, ANSWER)
    own, (first, second) = worker.spans()
    assert (own.error, first.error, second.error) == ("", "provider_error", "")
    assert (first.attributes["error.type"], first.attributes["http.response.status_code"]) == ("provider_error", 500)
    assert first.attributes["edge.health"] == "failed"
    assert second.attributes["http.request.resend_count"] == 1
    assert first.end == pytest.approx(second.start)
    assert named(own) == ["edge.route", "edge.failover"]
    assert own.events[1].attributes == {"edge.upstream": "b/m", "error.type": "provider_error"}
    ids = {own.span_id, first.span_id, second.span_id}
    assert len(ids) == 3
    assert {parent_sent(worker.sent(name))[2].decode() for name in "ab"} == {first.span_id, second.span_id}


def test_the_same_upstream_is_asked_again_and_a_breaker_that_opens_is_told(made):
    worker = made(names="a", resilience={"breaker": {"failures": 2}})
    worker.ask("smart", SAMPLED)
    for _ in range(3):
        worker.run(worker.sent("a").answers, 500, JSON, DOWN)
        worker.after(4)
    own, attempts = worker.spans()
    assert len(attempts) >= 2
    assert named(own).count("edge.retry") == len(attempts) - 1
    breaker = own.events[-1]
    assert (breaker.name, breaker.attributes) == ("edge.breaker", {"edge.upstream": "a/m", "edge.breaker": "open"})
    assert (own.error, attempts[-1].error) == ("provider_error", "provider_error") or own.error


def test_a_stream_tells_when_its_first_content_came(made):
    worker = made()
    worker.ask("smart", SAMPLED, stream=True)
    worker.after(0.3)
    worker.run(worker.sent("a").answers, 200, EVENTS, CONTENT, ends=False)
    worker.after(0.4)
    worker.run(worker.sent("a").receiver.body, DONE)
    worker.run(worker.sent("a").receiver.ended)
    own, (attempt,) = worker.spans()
    assert named(own) == ["edge.route", "edge.first_content"]
    assert own.events[1].at - own.start == pytest.approx(0.3)
    assert attempt.events[0].at == pytest.approx(own.events[1].at)
    assert attempt.attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.3)
    assert attempt.attributes["gen_ai.request.stream"] is True
    assert own.end - own.start == pytest.approx(0.7)


def test_who_joins_is_linked_to_who_asked_and_has_no_attempt(made):
    worker = made(cache={"mode": "all"})
    worker.ask("smart", SAMPLED)
    other = worker.ask("smart")
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    assert told(other).endswith(ANSWER)
    (leader, attempts), (follower, none) = (worker.spans(0), worker.spans(1))
    if none:
        (leader, attempts), (follower, none) = (follower, none), (leader, attempts)
    assert (len(attempts), none) == (1, [])
    assert follower.link == (TRACE, leader.span_id)
    assert follower.attributes["edge.cache"] == "joined"
    assert leader.link is None
    worker.ask("smart")
    hit, none = worker.spans(2)
    assert (hit.attributes["edge.cache"], none, named(hit)) == ("memory", [], ["edge.cache"])
    assert hit.events[0].attributes == {"edge.cache": "memory"}


def test_a_hedge_has_two_spans_at_a_time_and_the_one_that_lost_ends_with_the_other(made):
    worker = made(resilience={"hedge": {"enabled": True, "budget": 1.0}})
    for choice in worker.gateway.state.grant(ANYONE, "smart", CHAT).choices:
        for member in choice.members:
            for _ in range(100):
                member.took(True, 0.2)
                member.took(False, 0.2)
    worker.ask("smart", SAMPLED)
    worker.after(0.5)
    worker.run(worker.sent("b").answers, 200, JSON, ANSWER)
    own, (first, second) = worker.spans()
    assert named(own) == ["edge.route", "edge.hedge"]
    assert own.attributes["edge.hedge"] == "won"
    assert first.start < second.start < first.end
    assert (first.error, second.error) == ("", "")
    assert (first.attributes["edge.health"], second.attributes["edge.health"]) != ("ok", "ok")
    assert second.attributes["edge.health"] == "ok"


def test_a_client_that_leaves_ends_both_and_neither_has_failed(made):
    worker = made()
    lane = worker.ask("smart", SAMPLED, stream=True)
    worker.after(0.2)
    worker.run(lane.connection_lost, None)
    own, (attempt,) = worker.spans()
    assert (own.error, attempt.error) == ("", "")
    assert (own.attributes["edge.outcome"], own.attributes["error.type"]) == ("cancelled", "client_cancelled")
    assert attempt.end - attempt.start == pytest.approx(0.2)


def test_a_refusal_has_a_span_of_its_own_alone_and_is_no_failure_of_the_server(made):
    worker = made()
    worker.ask("nobody-has-this", SAMPLED)
    own, attempts = worker.spans()
    assert (attempts, own.error, own.attributes["error.type"]) == ([], "", "client_invalid")
    assert own.attributes["http.response.status_code"] == 404


def test_nothing_that_a_request_says_is_in_its_spans(made):
    worker = made(pii={"request": "mask"})
    said = [{"role": "user", "content": f"{CANARY} someone@example.com"}]
    worker.ask("smart", SAMPLED, messages=said, temperature=CANARY, seed=[CANARY], top_k=5)
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    kept = worker.kept[0]
    assert CANARY not in repr(kept)
    assert "example.com" not in repr(kept)
    own, (attempt,) = worker.spans()
    assert "edge.redaction" in named(own)
    assert own.events[0].attributes == {"edge.pii": "email=1"}
    assert attempt.attributes["gen_ai.request.top_k"] == 5.0
    assert "gen_ai.request.temperature" not in attempt.attributes
    assert (kept.asked, kept.content) == (b"", None)


def test_what_a_request_says_is_kept_as_it_was_sent_on_where_that_is_wanted(made):
    worker = made(pii={"request": "mask"}, tracing={"content": True})
    said = [{"role": "user", "content": f"{CANARY} someone@example.com"}]
    worker.ask("smart", SAMPLED, messages=said)
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    kept = worker.kept[0]
    assert CANARY.encode() in kept.asked
    assert b"[EMAIL]" in kept.asked
    assert kept.size > len(kept.asked)
    blocked = made(pii={"request": "block"}, tracing={"content": True})
    blocked.ask("smart", SAMPLED, messages=said)
    assert (blocked.kept[0].asked, blocked.kept[0].content) == (b"", None)


def test_of_a_long_body_its_length_alone_is_kept(made):
    worker = made(tracing={"content": True})
    worker.ask("smart", SAMPLED, messages=[{"role": "user", "content": "x" * MAX_CONTENT}])
    worker.run(worker.sent("a").answers, 200, JSON, ANSWER)
    kept = worker.kept[0]
    assert (kept.asked, kept.content) == (b"", None)
    assert kept.size < MAX_CONTENT
    assert kept.spans[0].attributes["edge.content.omitted_bytes"] > MAX_CONTENT


def test_what_an_account_keeps_is_asked_for_by_no_model(made):
    worker = made(names="a")
    lane = worker.connect()
    lane.data_received(f"GET /v1/files/file-1 HTTP/1.1\r\nhost: localhost\r\n{SAMPLED}\r\n\r\n".encode())
    worker.run()
    worker.run(worker.sent("a").answers, 200, JSON, b'{"id":"file-1"}')
    own, (attempt,) = worker.spans()
    assert (own.name, attempt.name) == ("GET /v1/files/{id}", "request")
    assert "gen_ai.request.model" not in attempt.attributes


def test_of_a_form_its_length_alone_is_kept(made):
    worker = made(tracing={"content": True})
    parts = (("model", "smart"), ("prompt", f'{CANARY} someone@example.com "\\'), ("file", "x"))
    fields = [f'--b\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts]
    body = "".join([*fields, "--b--\r\n"]).encode()
    sent = post(body, SAMPLED, start="POST /v1/audio/transcriptions HTTP/1.1")
    lane = worker.connect()
    lane.data_received(sent.replace(b"application/json", b"multipart/form-data; boundary=b"))
    worker.run(worker.sent("a").answers, 200, JSON, b'{"text":"hi"}')
    (kept,) = worker.kept
    assert (kept.asked, kept.content) == (b"", None)
    assert kept.spans[0].attributes["edge.content.omitted_bytes"] == len(body)
    assert CANARY not in repr(kept)


MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"m-1","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
CHUNKS = (
    b'data: {"id":"c1","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
    + CONTENT
    + b'data: {"id":"c1","model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    + DONE
)
RESPONSES = (
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"r1","model":"m-1","status":"in_progress"}}\n\n'
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"hi"}\n\n'
    b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"r1","model":"m-1","status":"completed","usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
)
ANSWERS = {
    "chat": ("/v1/chat/completions", "openai", JSON, b'{"id":"c1","model":"m-1","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"length"}]}', "c1", ["length"]),
    "chat, streamed": ("/v1/chat/completions", "openai", EVENTS, CHUNKS, "c1", ["stop"]),
    "messages": ("/v1/messages", "anthropic", JSON, b'{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[{"type":"text","text":"x"}],"stop_reason":"max_tokens","usage":{"input_tokens":1,"output_tokens":1}}', "msg_1", ["max_tokens"]),
    "messages, streamed": ("/v1/messages", "anthropic", EVENTS, MESSAGES, "msg_1", ["end_turn"]),
    "responses, streamed": ("/v1/responses", "openai", EVENTS, RESPONSES, "r1", ["completed"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_an_attempt_says_what_its_answer_says_of_itself(made, case):
    path, dialect, headers, body, number, reasons = ANSWERS[case]
    worker = made(providers={"a": {**provider(), "dialect": dialect}}, models={"smart": {"upstreams": [{"to": "a/m"}]}})
    asks = {"model": "smart", "max_tokens": 9, "stream": headers is EVENTS}
    asks |= {"input": "hi"} if "responses" in path else {"messages": [{"role": "user", "content": "hi"}]}
    lane = worker.connect()
    worker.run(lane.data_received, post(json.dumps(asks).encode(), SAMPLED, start=f"POST {path} HTTP/1.1"))
    worker.run(worker.sent("a").answers, 200, headers, body)
    _, (attempt,) = worker.spans()
    told = {
        name: value
        for name, value in attempt.attributes.items()
        if name.startswith("gen_ai.response.") and "time" not in name
    }
    assert told == {
        "gen_ai.response.id": number,
        "gen_ai.response.model": "m-1",
        "gen_ai.response.finish_reasons": reasons,
    }


@pytest.mark.parametrize("body", [b"[]", b'{"id":7}', b'{"id":"c","choices":7}', b"\xff"])
def test_an_answer_that_says_it_in_no_known_form_costs_no_span(made, body):
    worker = made(names="a", resilience={"retries": 0})
    worker.ask("smart", SAMPLED)
    worker.run(worker.sent("a").answers, 200, JSON, body)
    _, (attempt,) = worker.spans()
    assert attempt.attributes.get("gen_ai.response.id", "c") == "c"
