"""What answers cost that are more than some tokens in and out, as every client sees it: JSON and streams, as they came and
translated, and what a stored one saved."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from uuid import uuid4

import httpx2
import pytest

from tests.harness import Canned, Edge, Seen, answer, chunked, running
from tests.http.test_accounting import PICO, metrics

WRITES = {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 300}
FABLE = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 1500,
    "cache_creation": WRITES,
    "cache_read_input_tokens": 10000,
    "output_tokens": 50,
    "service_tier": "standard",
    "speed": "standard",
}
SAMPLINGS = [
    {"type": "compaction", "input_tokens": 5000, "output_tokens": 300},
    {"type": "message", "input_tokens": 1200, "output_tokens": 40},
]
CHAT = {
    "prompt_tokens": 1000,
    "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 500},
    "completion_tokens": 10,
    "completion_tokens_details": {"reasoning_tokens": 8},
    "total_tokens": 1010,
}
RESPONSE = {
    "input_tokens": 1000,
    "input_tokens_details": {
        "cached_tokens": 400,
        "cache_write_tokens": 500,
        "cache_write_tokens_details": {"ttl_30m_tokens": 200, "ttl_12h_tokens": 300},
    },
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 8},
    "total_tokens": 1010,
}
AUDIO = {
    "prompt_tokens": 0,
    "completion_tokens": 592,
    "completion_tokens_details": {"text_tokens": 110, "audio_tokens": 482},
    "total_tokens": 592,
}
SEARCHED = {"input_tokens": 10, "output_tokens": 2, "server_tool_use": {"web_search_requests": 3}}
# What each model's answer says, and what it costs in 1e-12 USD.
MESSAGES = {
    "claude-fable-5-1": (FABLE, 27_000_000_000),
    "claude-opus-5-5": ({**FABLE, "speed": "fast", "inference_geo": "us"}, 22 * 1_180_000_000),
    "claude-sonnet-5": (
        {"input_tokens": 1200, "output_tokens": 40, "iterations": SAMPLINGS},
        6200 * 2_000_000 + 340 * 10_000_000,
    ),
    "claude-sonnet-5-5": (SEARCHED, 10 * 2_000_000 + 2 * 10_000_000 + 3 * 10_000_000_000),
}
CHATS = {
    "gpt-6-astra": ({"service_tier": "priority", "usage": CHAT}, 16_300_000_000),
    "gpt-6-sol": ({"service_tier": "flex", "usage": {**CHAT, "prompt_tokens": 272_001}}, 1_087_214_000_000 // 2),
    "gpt-audio": ({"usage": AUDIO}, 39_660_000_000),
}
RESPONSES = {
    "gpt-6-astra": ({"service_tier": "priority", "usage": RESPONSE}, 20_800_000_000),
    "gpt-6-luna": (
        {"usage": {"input_tokens": 10, "output_tokens": 2}, "tool_usage": {"web_search": {"num_requests": 2}}},
        10 * 100_000 + 2 * 500_000 + 2 * 10_000_000_000,
    ),
}


def events(*items: tuple[str, dict] | str) -> bytes:
    made = []
    for item in items:
        name, data = item if isinstance(item, tuple) else ("", item)
        text = data if isinstance(data, str) else json.dumps(data)
        made.append((f"event: {name}\n" if name else "") + f"data: {text}\n\n")
    return chunked(["".join(made).encode()])


def of_messages(model: str, stream: bool) -> bytes:
    usage, _ = MESSAGES[model]
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    text = {"type": "text", "text": "hi"}
    if not stream:
        return answer(json.dumps({**whole, **ended, "content": [text], "usage": usage}).encode())
    late = {name: usage[name] for name in ("output_tokens", "server_tool_use", "iterations") if name in usage}
    start = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1, "iterations": None}}
    return events(
        ("message_start", {"type": "message_start", "message": start}),
        ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {**text, "text": ""}}),
        (
            "content_block_delta",
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        ),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        ("message_delta", {"type": "message_delta", "delta": ended, "usage": late}),
        ("message_stop", {"type": "message_stop"}),
    )


def of_chat(model: str, stream: bool) -> bytes:
    said, _ = CHATS[model]
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": model}
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        return answer(json.dumps({**whole, "choices": [choice], **said}).encode())
    whole["object"] = "chat.completion.chunk"
    pieces = [
        {"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]
    chunks = [{**whole, "choices": [piece], "usage": None} for piece in pieces] + [{**whole, "choices": [], **said}]
    return events(*(("", chunk) for chunk in chunks), "[DONE]")


def of_responses(model: str, stream: bool) -> bytes:
    said, _ = RESPONSES[model]
    text = {"type": "output_text", "text": "hi", "annotations": []}
    item = {"id": "msg", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    whole = {"id": "r", "object": "response", "status": "completed", "model": model, "output": [item], **said}
    if not stream:
        return answer(json.dumps(whole).encode())
    begun = {**whole, "status": "in_progress", "output": [], "service_tier": "auto", "usage": None}
    return events(
        ("response.created", {"type": "response.created", "response": begun}),
        ("response.output_text.delta", {"type": "response.output_text.delta", "item_id": "msg", "delta": "hi"}),
        ("response.completed", {"type": "response.completed", "response": whole}),
    )


def reply(seen: Seen, _: socket.socket) -> bytes:
    asked = json.loads(seen.body)
    made = {"messages": of_messages, "completions": of_chat, "responses": of_responses}
    return made[seen.target.partition("?")[0].rpartition("/")[2]](asked["model"], asked.get("stream", False))


@pytest.fixture(scope="module")
def edge(front, tmp_path_factory) -> Iterator[Edge]:
    with Canned(reply) as upstream:
        at = {"base_url": f"{upstream.url}/v1"}
        audio = {"input": 2.5, "output": 10, "audio_input": 40, "audio_output": 80}
        config = {
            "cache": {"mode": "all"},
            "providers": {
                "openai": {"dialect": "openai", "priced_as": "openai", "prices": {"gpt-audio": audio}, **at},
                "anthropic": {"dialect": "anthropic", "priced_as": "anthropic", **at},
            },
            "models": {
                "contract": {
                    "upstreams": [{"to": "anthropic/claude-fable-5-1"}],
                    "price": {"input": 1, "output": 2, "request": 0.5},
                    "fallbacks": ["other"],
                },
                "other": {"upstreams": [{"to": "openai/gpt-6-astra"}]},
            },
        }
        made = Edge(tmp_path_factory.mktemp("costs"), config, front=front)
        with running(made):
            yield made


def post(edge: Edge, path: str, body: dict, by=httpx2, **headers: str) -> tuple[httpx2.Response, dict]:
    """An answer, and its log line."""
    name = uuid4().hex
    headers = {"x-request-id": name, **{key.replace("_", "-"): value for key, value in headers.items()}}
    got = by.post(f"{edge.url}/v1/{path}", json=body, headers=headers, timeout=20)
    line = edge.process.wait_for(f'"request_id":"{name}".*"event":"request"').string
    return got, json.loads(line, parse_float=Decimal)


CASES = [
    *(("messages", model, cost) for model, (_, cost) in MESSAGES.items()),
    *(("chat/completions", model, cost) for model, (_, cost) in CHATS.items()),
    *(("responses", model, cost) for model, (_, cost) in RESPONSES.items()),
]
TRANSLATED = [
    *(("chat/completions", model, cost) for model, (_, cost) in MESSAGES.items()),
    # A prompt of no tokens is taken for one that was not counted, where the client has to be told a number.
    *(("messages", model, cost) for model, (_, cost) in CHATS.items() if model != "gpt-audio"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(("path", "model", "cost"), CASES + TRANSLATED)
def test_an_answer_costs_what_its_provider_charges(edge, path, model, cost, stream):
    body: dict = {"model": model, "stream": stream}
    if path == "responses":
        body |= {"input": "x", "store": False}
    else:
        body |= {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}
    body |= {"stream_options": {"include_usage": True}} if stream and path == "chat/completions" else {}
    got, line = post(edge, path, body, cache_control="no-store")
    assert got.status_code == 200, got.text
    if not stream:
        assert Decimal(got.headers["x-edge-cost-usd"]) == cost * PICO
    assert Decimal(line["cost_usd"]) == cost * PICO
    assert "estimated" not in line


def test_what_a_compaction_used_is_in_the_line_and_the_metrics(edge):
    label = 'model="claude-sonnet-5",provider="anthropic",tenant="",type="input"'
    before = metrics(edge, "edge_tokens_total").get(label, 0)
    body = {"model": "claude-sonnet-5", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}
    _, line = post(edge, "messages", body, cache_control="no-store")
    assert (line["input_tokens"], line["output_tokens"]) == (6200, 340)
    assert metrics(edge, "edge_tokens_total")[label] - before == 6200


def test_a_stored_answer_saves_what_it_cost(edge):
    body = {"model": "claude-fable-5-1", "messages": [{"role": "user", "content": "once"}], "max_tokens": 9}
    first, again = (httpx2.post(f"{edge.url}/v1/messages", json=body, timeout=20) for _ in range(2))
    assert (first.headers["x-edge-cache"], again.headers["x-edge-cache"]) == ("miss", "memory")
    assert Decimal(first.headers["x-edge-cost-usd"]) == Decimal("0.027")
    (saved,) = (value for labels, value in metrics(edge, "edge_saved_cost_usd_total").items() if "fable" in labels)
    assert round(Decimal(saved), 12) == Decimal("0.027")


def test_an_alias_price_is_that_of_its_upstreams(edge):
    body = {"model": "contract", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}
    got = httpx2.post(f"{edge.url}/v1/messages", json=body, timeout=20)
    # Written and read tokens without a price of their own cost as input.
    assert Decimal(got.headers["x-edge-cost-usd"]) == Decimal("0.5") + (11600 + 50 * 2) * Decimal("0.000001")


def test_no_cost_is_unknown(edge):
    assert metrics(edge, "edge_unpriced_requests_total") == {}
    text = httpx2.get(f"{edge.url}/metrics").text
    assert re.findall(r"^edge_estimated_requests_total{.*} [^0]", text, re.MULTILINE) == []


def test_lines_tell_who_asked_for_what_and_who_answered_stored_answers_too(edge):
    """Also where a request comes again byte for byte, and nothing of it is looked into."""
    name = uuid4().hex
    body = {"model": "contract", "messages": [{"role": "user", "content": name}], "max_tokens": 9}
    with httpx2.Client(headers={"x-request-id": name}) as client:
        for _ in range(4):
            client.post(f"{edge.url}/v1/messages", json=body, timeout=20)
    deadline = time.monotonic() + 30
    while len(found := [line for line in edge.process.lines if f'"request_id":"{name}"' in line]) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    told = [json.loads(line) for line in found]
    assert sorted(line["cache"] for line in told) == ["memory", "memory", "memory", "miss"]
    for line in told:
        assert (line["requested_model"], line["alias"]) == ("contract", "contract")
        assert (line["provider"], line["model"]) == ("anthropic", "claude-fable-5-1")
        assert (line["peer"], line["cached_tokens"]) == ("127.0.0.1", 10000)
        assert "tenant" not in line
    _, line = post(edge, "messages", {**body, "model": "anthropic/claude-fable-5-1"})
    assert (line["requested_model"], line.get("alias")) == ("anthropic/claude-fable-5-1", None)
