"""Bodies with anything in any place: a client's is a 400, a provider's is its own fault, and nothing else ever happens."""

from __future__ import annotations

import copy
import json
import random

import msgspec
import pytest

from edge._fast import SSEDecoder
from edge.dialects.tokens import estimate_tokens
from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from edge.errors import ClientError, UpstreamBadResponse
from tests.unit.test_translation_streams import (
    START,
    STOP,
    USAGE,
    block,
    chunk,
    counts,
    delta,
    end,
    piece,
    stop,
    text,
    tool,
)
from tests.unit.translating import CUSTOM, NOW, PAIRS, PDF, PNG, TOOL, USER, call, events_of, sse

ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    " ",
    "x",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"type": None},
    {"type": []},
    ["a", 1],
    {"a": {}},
]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
CHAT = {
    "model": "x",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
            ],
        },
        {
            "role": "assistant",
            "content": "a",
            "refusal": "r",
            "tool_calls": [call("a")],
            "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
        {"role": "function", "name": "look", "content": "1"},
        USER,
    ],
    "tools": [TOOL],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "look"}}]},
    },
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "reasoning_effort": "high",
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 1,
    "stop": ["x"],
    "user": "u",
    "n": 1,
    "service_tier": "auto",
    "max_tokens": 5000,
    "stream": True,
    "stream_options": {"include_usage": True},
    "parallel_tool_calls": False,
    "metadata": {},
    "logit_bias": {},
}
MESSAGES = {
    "model": "x",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "s"}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {
                    "type": "document",
                    "title": "t",
                    "source": {"type": "content", "content": [{"type": "text", "text": "t"}]},
                },
                {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "t"}]},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {
                    "type": "tool_use",
                    "id": "a",
                    "name": "look",
                    "input": {"a": 1},
                    "cache_control": {"type": "ephemeral"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "is_error": True,
                    "content": [{"type": "text", "text": "t"}],
                }
            ],
        },
        {"role": "system", "content": [{"type": "tool_addition", "tool": CUSTOM}]},
    ],
    "tools": [{**CUSTOM, "input_schema": SCHEMA, "strict": True}],
    "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
    "temperature": 0.5,
    "stop_sequences": ["x"],
    "stream": True,
    "mcp_servers": [],
}
MESSAGE = START["message"] | {
    "content": [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "text", "text": "t", "citations": [{"type": "web_search_result_location", "url": "u", "title": "t"}]},
        {"type": "tool_use", "id": "a", "name": "look", "input": {"a": 1}},
    ],
    "stop_reason": "refusal",
    "stop_details": {"type": "refusal", "explanation": "e"},
}
COMPLETION = {
    "id": "c",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "t",
                "refusal": None,
                "tool_calls": [call("a")],
                "reasoning_content": "r",
            },
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
EVENTS = [START, *text(0, "a"), *tool(1, "t", "{}"), block(2, "thinking", thinking="", signature="")]
EVENTS += [delta(2, "thinking", thinking="t"), delta(2, "signature", signature="s"), stop(2), end("refusal"), STOP]
CHUNKS = [
    chunk(content="a", reasoning_content="r"),
    chunk(tool_calls=[piece(0, "{}", "a", "look")]),
    chunk("stop"),
    counts(**USAGE),
]


FIELDS = (
    *("citations", "input", "index", "error", "usage", "content", "delta", "name", "id", "type", "text", "tool_calls"),
    *("function", "function_call", "arguments", "refusal", "reasoning_content", "thinking", "signature", "source"),
    *("cache_control", "prompt_cache_breakpoint", "stop_details", "finish_reason", "choices", "message", "role"),
)


def mutated(rng, value):
    """A copy with something odd in one to three places: another value, one less, or one more."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        where = value
        while True:
            keys = list(where) if isinstance(where, dict) else list(range(len(where)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(where[key], dict | list) and where[key] and rng.random() < 0.8:
                where = where[key]
                continue
            if rng.random() < 0.2 and isinstance(where, dict):
                del where[key]
            elif rng.random() < 0.2 and isinstance(where, dict):
                where[rng.choice(FIELDS)] = copy.deepcopy(rng.choice(ODD))
            else:
                where[key] = copy.deepcopy(rng.choice(ODD))
            break
    return value


@pytest.mark.once
@pytest.mark.parametrize(
    ("api", "request_", "models"),
    [
        ("chat", CHAT, ["claude-sonnet-4-0", "claude-sonnet-4-5", "claude-opus-5-5"]),
        ("messages", MESSAGES, ["gpt-4o", "gpt-5.6", "deepseek-chat"]),
    ],
)
def test_any_request_is_translated_or_refused(api, request_, models):
    rng = random.Random(1)
    for model in models:
        TRANSLATORS[PAIRS[api]].request(json.dumps(request_).encode(), model)
    refused = 0
    for _ in range(3000):
        body = json.dumps(mutated(rng, request_)).encode()
        if api == "messages":
            estimate_tokens(body)
        try:
            TRANSLATORS[PAIRS[api]].request(body, rng.choice(models))
        except ClientError as error:
            assert error.status == 400
            refused += 1
    assert refused > 250


@pytest.mark.once
@pytest.mark.parametrize(("api", "answer"), [("chat", MESSAGE), ("messages", COMPLETION)])
def test_any_answer_is_translated_or_the_providers_fault(api, answer):
    rng = random.Random(2)
    translated = 0
    for _ in range(2000):
        body = json.dumps(mutated(rng, answer)).encode()
        try:
            said = TRANSLATORS[PAIRS[api]].answer(body, Context(legacy_functions=rng.random() < 0.2), NOW)
        except UpstreamBadResponse:
            continue
        assert isinstance(msgspec.json.decode(said), dict)
        translated += 1
    assert 0 < translated < 2000


@pytest.mark.once
@pytest.mark.parametrize(("api", "events"), [("chat", EVENTS), ("messages", CHUNKS)])
def test_any_stream_is_translated_or_the_providers_fault(api, events):
    rng = random.Random(3)
    translated = 0
    for _ in range(2000):
        stream = sse(
            *(item for item in mutated(rng, events) if isinstance(item, dict) and isinstance(item.get("type", ""), str))
        )
        translator = TRANSLATORS[PAIRS[api]].stream(Context(), NOW)
        try:
            said = translator.feed(events_of(stream)) + translator.finish()
        except UpstreamBadResponse:
            continue
        decoder = SSEDecoder()
        assert all(data == b"[DONE]" or isinstance(msgspec.json.decode(data), dict) for _, data in decoder.feed(said))
        assert decoder.pending == 0
        translated += 1
    assert 0 < translated < 2000


def small(recordings, path):
    """Recorded calls of an API, without those of megabytes."""
    found = [item for item in recordings if item.path.partition("?")[0] == path and len(item.answer) < 50_000]
    if not found:
        pytest.skip("EDGE_RECORDINGS names no recordings")
    return found


@pytest.mark.once
@pytest.mark.parametrize(
    ("api", "own", "other"),
    [("chat", "/v1/chat/completions", "/v1/messages"), ("messages", "/v1/messages", "/v1/chat/completions")],
)
def test_recordings_with_something_odd_in_them(recordings, api, own, other):
    rng = random.Random(4)
    requests, answers = small(recordings, own), small(recordings, other)
    for _ in range(800):
        body = json.dumps(mutated(rng, rng.choice(requests).request)).encode()
        try:
            TRANSLATORS[PAIRS[api]].request(body, "claude-sonnet-4-5" if api == "chat" else "gpt-4o")
        except ClientError as error:
            assert error.status == 400
    for _ in range(800):
        answer = rng.choice(answers)
        context = Context(legacy_functions=rng.random() < 0.2, output_tool=rng.choice(["", "final_result"]))
        try:
            if answer.is_stream:
                translator = TRANSLATORS[PAIRS[api]].stream(context, NOW)
                for name, data in events_of(answer.answer):
                    if data != b"[DONE]" and rng.random() < 0.05:
                        data = json.dumps(mutated(rng, json.loads(data))).encode()
                    translator.feed([(name, data)])
                translator.finish()
            else:
                TRANSLATORS[PAIRS[api]].answer(
                    json.dumps(mutated(rng, json.loads(answer.answer))).encode(), context, NOW
                )
        except UpstreamBadResponse:
            pass
