"""Spans as a collector reads them, and what of a prompt a trace tells."""

from __future__ import annotations

import json

import pytest

from edge import config
from edge.guard.policy import Policies
from edge.telemetry.otlp import OtlpCollector
from edge.telemetry.prompts import prompt_of
from edge.telemetry.spans import Happened, Kept, Span
from edge.trace_context import given
from tests.collector import Collector

pytestmark = pytest.mark.once

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MASKING = Policies(config.Pii(kinds=["email"], allow=["me@example.com"])).masking([])


def kept(*spans, state=b"", **more):
    return Kept(given(f"00-{TRACE}-{PARENT}-01".encode(), state), list(spans), 1000, **more)


def server(**more):
    fields = {"attributes": {"a": "b", "n": 1, "x": 0.5, "t": True, "l": ["c", "d"]}, "events": [], **more}
    return Span("POST /v1/messages", "SERVER", "00f067aa0ba902b7", PARENT, 1764439200.25, 1764439201.5, **fields)


@pytest.fixture
def taken(monkeypatch):
    """What a collector has received of what is sent."""

    def send(*batch, **env):
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with Collector() as collector:
            mine = OtlpCollector(collector.url + "/", "here-1", 5.0)
            assert mine.send(list(batch))
            mine.close()
            assert collector.paths == {"/v1/traces"}
            return collector.spans

    return send


def test_a_span_crosses_whole(taken):
    event = Happened("edge.route", 1764439200.5, {"edge.strategy": "cost"})
    attempt = Span("chat m", "CLIENT", "00f067aa0ba902b8", "00f067aa0ba902b7", 1764439200.5, 1764439201.0, {}, [])
    mine, theirs = taken(
        kept(server(events=[event], error="boom", link=("a" * 32, "b" * 16)), attempt, state=b"x=y,z=1")
    )
    assert (mine.trace_id, mine.span_id, mine.parent, mine.kind) == (TRACE, "00f067aa0ba902b7", PARENT, "SERVER")
    assert (mine.start, mine.end) == pytest.approx((1764439200.25, 1764439201.5), abs=1e-6, rel=0)
    assert mine.attributes == {"a": "b", "n": 1, "x": 0.5, "t": True, "l": ["c", "d"]}
    ((name, at, told),) = mine.events
    assert (name, told) == ("edge.route", {"edge.strategy": "cost"})
    assert at == pytest.approx(1764439200.5, abs=1e-6, rel=0)
    assert (mine.links, mine.error, mine.state) == ([("a" * 32, "b" * 16)], "boom", "x=y,z=1")
    assert (theirs.parent, theirs.kind, theirs.error) == (mine.span_id, "CLIENT", "")
    assert mine.resource["service.name"] == "llm-edge-agent"
    assert mine.resource["service.instance.id"] == "here-1"


def test_the_resource_is_named_by_who_runs_it(taken):
    (mine,) = taken(
        kept(server()), OTEL_SERVICE_NAME="gate", OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test"
    )
    assert (mine.resource["service.name"], mine.resource["deployment.environment.name"]) == ("gate", "test")


@pytest.mark.parametrize("state", [b"junk", b"a=b,junk,c", b",,,", b"=" * 40, b"a" * 500])
def test_a_state_that_is_none_costs_no_span(taken, state):
    assert len(taken(kept(server(), state=state))) == 1


def test_what_refuses_or_is_not_there_takes_nothing():
    with Collector(status=400) as collector:
        mine = OtlpCollector(collector.url, "here", 1.0)
        assert mine.send([kept(server())]) is False
    assert mine.send([kept(server())]) is False
    mine.close()


def test_where_a_collector_sends_elsewhere_nothing_is_sent():
    with Collector() as other, Collector(status=307, location=other.url) as collector:
        mine = OtlpCollector(collector.url, "here", 5.0)
        assert mine.send([kept(server())]) is False
        mine.close()
        assert (len(collector.messages), other.messages) == (1, [])


def said(body, policy=MASKING):
    found = prompt_of(json.dumps(body).encode(), policy)
    return {name: json.loads(value) if isinstance(value, str) else value for name, value in found.items()}


def test_messages_of_every_api_are_told_in_one_form():
    text = [{"type": "text", "content": "hi"}]
    call = {"type": "tool_call", "id": "c1", "name": "f", "arguments": "{}"}
    chat = [
        {"role": "system", "content": "hi"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x"}}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "hi"},
    ]
    answer = {"type": "tool_call_response", "id": "c1", "response": text}
    assert said({"messages": chat})["gen_ai.input.messages"] == [
        {"role": "system", "parts": text},
        {"role": "user", "parts": [*text, {"type": "image_url"}]},
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [answer]},
    ]
    messages = {
        "system": [{"type": "text", "text": "hi"}],
        "tools": [{"name": "f"}],
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "hi"}]},
        ],
    }
    told = said(messages)
    assert told["gen_ai.system_instructions"] == text
    assert told["gen_ai.tool.definitions"] == [{"name": "f"}]
    assert told["gen_ai.input.messages"][0]["parts"] == [{**call, "arguments": {}}]
    assert told["gen_ai.input.messages"][1]["parts"] == [answer]
    items = ["hi", {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
             {"type": "function_call_output", "call_id": "c1", "output": "hi"}]  # fmt: skip
    told = said({"instructions": "hi", "input": items})
    assert told["gen_ai.system_instructions"] == text
    assert told["gen_ai.input.messages"] == [
        {"role": "user", "parts": text},
        {"role": "assistant", "parts": [call]},
        {"role": "assistant", "parts": [answer]},
    ]
    assert said({"prompt": "hi"})["gen_ai.input.messages"] == [{"role": "user", "parts": text}]


def test_all_that_the_scanner_finds_is_masked_whatever_the_configuration_lets_pass():
    who = "me@example.com, 4111 1111 1111 1111, sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
    told = json.dumps(said({"messages": [{"role": "user", "content": who}]}))
    assert "[EMAIL]" in told
    assert "[CARD]" in told
    assert all(secret not in told for secret in ("example.com", "4111", "abcdefgh"))


@pytest.mark.parametrize(
    "body", [[1], {"messages": 7}, {"messages": [7]}, {"messages": [{"role": "user", "content": 7}]}]
)
def test_what_is_in_no_form_is_not_told(body):
    assert said(body) in ({}, {"edge.content.omitted_bytes": len(json.dumps(body))})


@pytest.mark.parametrize("depth", [10, 500, 20_000])
def test_a_body_that_is_too_deep_to_be_looked_through_is_not_told(depth):
    body = b'{"messages": [{"role": "user", "content": %b"x"%b}]}' % (b"[" * depth, b"]" * depth)
    found = prompt_of(body, MASKING)
    told = "gen_ai.input.messages" in found
    assert told is (depth == 10) or depth == 500  # how deep that is depends on the Python
    assert found.get("edge.content.omitted_bytes") == (None if told else len(body))
