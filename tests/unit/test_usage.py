"""What providers say that an answer used, read into one form."""

from __future__ import annotations

import json

import pytest

from edge.cache.envelope import counts_of, usage_from
from edge.dialects import anthropic, openai
from edge.dialects.anthropic import MessagesStream
from edge.dialects.openai import ChatStream
from edge.dialects.responses import ResponsesStream
from edge.hooks import Part, Usage


def message(**usage) -> bytes:
    return json.dumps({"type": "message", "content": [], "usage": usage}).encode()


WRITES = {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 300}
SAMPLED = {"type": "message", "input_tokens": 1200, "output_tokens": 40}


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"input_tokens": 7, "output_tokens": 3}, Usage(7, 3)),
        ({"input_tokens": 7, "output_tokens": 3, "cache_creation_input_tokens": 9}, Usage(7, 3, -1, 9)),
        (
            {"input_tokens": 7, "output_tokens": 3, "cache_creation_input_tokens": 1500, "cache_creation": WRITES},
            Usage(7, 3, -1, 1500, cache_write_long=300),
        ),
        # The sum is missing, or less than its parts.
        (
            {"input_tokens": 7, "output_tokens": 3, "cache_creation": WRITES},
            Usage(7, 3, -1, 1300, cache_write_long=300),
        ),
        (
            {"input_tokens": 7, "output_tokens": 3, "cache_creation_input_tokens": 300, "cache_creation": WRITES},
            Usage(7, 3, -1, 1300, cache_write_long=300),
        ),
        (
            {"input_tokens": 7, "output_tokens": 3, "service_tier": "priority", "speed": "fast", "inference_geo": "us"},
            Usage(7, 3, service_tier="priority", speed="fast", geo="us"),
        ),
        (
            {"input_tokens": 7, "output_tokens": 3, "server_tool_use": {"web_search_requests": 2}},
            Usage(7, 3, web_searches=2),
        ),
        ({"input_tokens": 7, "output_tokens": 3, "iterations": [SAMPLED]}, Usage(7, 3)),
        (
            {"input_tokens": 7, "output_tokens": 3, "iterations": [{**SAMPLED, "type": "compaction"}, SAMPLED]},
            Usage(7, 3, parts=(Part(Usage(1200, 40)), Part(Usage(1200, 40), inside=True))),
        ),
        (
            {"input_tokens": 7, "output_tokens": 3, "iterations": [{**SAMPLED, "model": "claude-opus-5"}]},
            Usage(7, 3, parts=(Part(Usage(1200, 40), "claude-opus-5", inside=True),)),
        ),
        # A detail of a kind that nobody knows costs no count.
        ({"input_tokens": 7, "output_tokens": 3, "iterations": {"a": 1}, "speed": 5}, Usage(7, 3)),
        ({"input_tokens": 7, "output_tokens": 3, "server_tool_use": "x", "cache_creation": []}, Usage(7, 3)),
        ({"input_tokens": -7, "output_tokens": 1 << 60, "cache_creation": {}}, Usage(cache_write=0)),
    ],
)
def test_a_message(usage, read):
    assert anthropic.usage_of(message(**usage)) == read


def test_the_parts_outside_the_sums_are_in_what_was_charged_for():
    usage = anthropic.usage_of(
        message(
            input_tokens=1200,
            output_tokens=40,
            cache_read_input_tokens=800,
            service_tier="standard",
            iterations=[
                {"type": "compaction", "input_tokens": 5000, "output_tokens": 300, "cache_creation": WRITES},
                {"type": "message", "input_tokens": 1200, "output_tokens": 40},
                {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 10, "output_tokens": 1},
            ],
        )
    )
    assert usage.settled() == Usage(6210, 341, 800, 1300, cache_write_long=300)
    assert usage.settled().sound
    assert not usage.sound


CHAT = {"prompt_tokens": 1000, "completion_tokens": 10}
RESPONSE = {"input_tokens": 1000, "output_tokens": 10}


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({"usage": CHAT}, Usage(1000, 10, 0, 0)),
        (
            {"usage": {**CHAT, "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 500}}},
            Usage(100, 10, 400, 500),
        ),
        (
            {
                "service_tier": "priority",
                "usage": {**CHAT, "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 2}},
            },
            Usage(1000, 10, 0, 0, 8, audio_output=2, service_tier="priority"),
        ),
        (
            {"usage": {**CHAT, "prompt_tokens_details": {"audio_tokens": 90, "image_tokens": 20, "text_tokens": 890}}},
            Usage(1000, 10, 0, 0, audio_input=90, image_input=20),
        ),
        ({"usage": RESPONSE}, Usage(1000, 10, 0, 0)),
        (
            {
                "service_tier": "flex",
                "usage": {
                    **RESPONSE,
                    "input_tokens_details": {
                        "cached_tokens": 400,
                        "cache_write_tokens": 500,
                        "cache_write_tokens_details": {"ttl_30m_tokens": 200, "ttl_12h_tokens": 300},
                    },
                    "output_tokens_details": {"reasoning_tokens": 8},
                },
            },
            Usage(100, 10, 400, 500, 8, cache_write_long=300, service_tier="flex"),
        ),
        (
            {"usage": RESPONSE, "tool_usage": {"image_gen": {"input_tokens": 5}, "web_search": {"num_requests": 3}}},
            Usage(1000, 10, 0, 0, web_searches=3),
        ),
        (
            {
                "usage": RESPONSE,
                "output": [
                    {"type": "web_search_call", "action": {"type": "search", "query": "x"}},
                    {"type": "web_search_call", "action": {"type": "open_page", "url": "x"}},
                    {"type": "web_search_call"},
                    {"type": "message", "content": []},
                ],
            },
            Usage(1000, 10, 0, 0, web_searches=2),
        ),
        # A detail of a kind that nobody knows costs no count.
        ({"usage": CHAT, "service_tier": 1, "output": "text", "tool_usage": []}, Usage(1000, 10, 0, 0)),
        (
            {"usage": {**CHAT, "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": "many"}}},
            Usage(600, 10, 400, 0),
        ),
        ({"usage": None}, None),
        ({"usage": {}}, Usage(-1, -1, 0, 0)),
    ],
)
def test_an_answer_of_openais_dialect_whole_and_as_an_event(body, read):
    data = json.dumps(body).encode()
    assert openai.usage_of(data) == read
    if "prompt_tokens" in (body["usage"] or {}):
        chat = ChatStream()
        chat.event(b"message", data)
        assert chat.usage == read
    response = ResponsesStream()
    response.event(b"response.completed", b'{"type":"response.completed","response":' + data + b"}")
    assert response.usage == read


def messages(*usages: object) -> Usage | None:
    """What is read of a stream whose `message_start` and `message_delta` events have these."""
    return message_stream(*usages).usage


def message_stream(*usages: object) -> MessagesStream:
    stream = MessagesStream()
    start, *deltas = usages
    stream.event(b"message_start", json.dumps({"type": "message_start", "message": {"usage": start}}).encode())
    stream.event(b"content_block_delta", b'{"delta":{"type":"text_delta","text":"x"}}')
    for usage in deltas:
        stream.event(b"message_delta", json.dumps({"type": "message_delta", "delta": {}, "usage": usage}).encode())
    stream.event(b"message_stop", b'{"type":"message_stop"}')
    return stream


TRUTH = {"input_tokens": 1200, "cache_read_input_tokens": 800, "output_tokens": 40}
BEGUN = {"input_tokens": 1200, "cache_read_input_tokens": 800, "output_tokens": 1}


@pytest.mark.parametrize(
    "usages",
    [
        ({"input_tokens": 0, "output_tokens": 0}, TRUTH),
        (BEGUN, {"output_tokens": 40}),
        (BEGUN, {"input_tokens": 0, "output_tokens": 40}),
        (BEGUN, {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 40}),
        (BEGUN, {"output_tokens": 20}, {"output_tokens": 40}),
        (BEGUN, {"output_tokens": 40}, {"output_tokens": 0}),
        (BEGUN, {"output_tokens": 40}, None),
        # An estimate at the beginning, less or more than there was.
        ({"input_tokens": 900, "output_tokens": 1}, TRUTH),
        ({"input_tokens": 1900, "output_tokens": 1}, TRUTH),
        (None, TRUTH),
    ],
)
def test_the_counts_of_a_stream_wherever_it_tells_them(usages):
    assert messages(*usages) == Usage(1200, 40, 800)


@pytest.mark.parametrize(
    ("usages", "read"),
    [
        (({"input_tokens": 0, "output_tokens": 0}, None), (-1, -1)),
        (({"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 0, "output_tokens": 0}), (-1, -1)),
        (({"input_tokens": 0, "output_tokens": 1}, {"output_tokens": 40}), (-1, 40)),
        ((BEGUN, None), (1200, -1)),
        ((BEGUN, {}), (1200, -1)),
        ((BEGUN, {"output_tokens": 1}), (1200, 1)),
        (({"input_tokens": 1200, "output_tokens": 40}, None), (1200, 40)),
        (({"input_tokens": 0, "cache_read_input_tokens": 800, "output_tokens": 1}, {"output_tokens": 4}), (0, 4)),
    ],
)
def test_what_no_request_and_no_answer_can_have_had_was_not_counted(usages, read):
    """It is -1, which is estimated and flagged."""
    usage = message_stream(*usages).reported()
    assert (usage.input, usage.output) == read


def test_a_stream_that_tells_nothing():
    assert messages(None, None) is None


def test_a_stream_that_tells_its_terms_at_the_beginning_and_its_samplings_at_the_end():
    begun = {**BEGUN, "service_tier": "standard", "speed": "fast", "inference_geo": "us", "cache_creation": WRITES}
    usage = messages(
        begun,
        {
            "output_tokens": 40,
            "server_tool_use": {"web_search_requests": 1},
            "iterations": [{"type": "compaction", "input_tokens": 5000, "output_tokens": 300}, SAMPLED],
        },
    )
    assert (usage.service_tier, usage.speed, usage.geo, usage.web_searches) == ("standard", "fast", "us", 1)
    assert usage.settled() == Usage(6200, 340, 800, 1300, cache_write_long=300, web_searches=1)


def test_a_chunk_that_no_usage_follows_tells_the_tier():
    stream = ChatStream()
    stream.event(b"message", b'{"service_tier":"flex","choices":[{"index":0,"delta":{"content":"x"}}]}')
    assert stream.usage is None
    assert stream.reported() == Usage(service_tier="flex")


def test_what_is_stored_is_bare():
    for usage in (Usage(service_tier="x"), Usage(parts=(Part(Usage(1)),)), Usage(input=-2), Usage(web_searches=-1)):
        assert not usage.sound
    bare = Usage(1, 2, 3, 4, 5, 1)
    assert bare.settled() is bare
    assert usage_from(Usage, counts_of(bare)) == bare
