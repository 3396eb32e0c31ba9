"""Events that fit the pattern of those before them are passed on unread, and nothing is known of them but what reading
them would have told.
"""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge._fast import SSEDecoder
from edge.dialects.crossing import Crossing, TranslatedCrossing
from edge.dialects.stream import BRIEF
from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from edge.errors import UpstreamBadResponse
from edge.routes import ROUTES
from edge.upstreams.relay import EventRelay

KNOWN = (
    "accepted",
    "calls",
    "closing",
    "content",
    "deltas",
    "error_data",
    "failed",
    "finished",
    "opening",
    "sample",
    "seen",
)
TOLD = (*KNOWN, "size")


def event(data: str | dict, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return (f"event: {name}\n" if name else "").encode() + b"data: " + text.encode() + b"\n\n"


def chat(text: str, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    told = {"id": "chatcmpl-2ed757253b61205c16c0dfd7", "object": "chat.completion.chunk", "created": 1760000000}
    return event({**told, "model": "gpt-4o-2024-11-20", "choices": [{**choice, **more.pop("choice", {})}], **more})


def message(text: str, kind: str = "text_delta", key: str = "text", index: int = 0) -> bytes:
    name = "content_block_delta"
    return event({"type": name, "index": index, "delta": {"type": kind, key: text}}, name)


def response(text: str, number: int, name: str = "response.output_text.delta") -> bytes:
    place = {"item_id": "msg_68e1", "output_index": 0, "content_index": 0}
    return event({"type": name, **place, "sequence_number": number, "delta": text, "obfuscation": text[:3]}, name)


# The leaf.


def size_of(told: bytes) -> int:
    return len(told) - told.index(b"{") - 2


def learned(module, *events: bytes):
    found = module.EventPattern(BRIEF)
    for told in events:
        found.learn(told, size_of(told))
    return found


def test_what_fits_differs_in_a_text_alone(pattern_module):
    pattern = learned(pattern_module, chat(" one"), chat(" another"))
    more = [chat(text) for text in ("", " x", ' of "quotes" and \\ more', "\n", "é", " an error in it", "a" * 5000)]
    for told in more:
        assert pattern.match(told), told
        assert (pattern.events, pattern.size) == (1, size_of(told))
    assert pattern.match(b"".join(more))
    assert (pattern.events, pattern.size) == (len(more), sum(map(size_of, more)))


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"data: [DONE]\n\n",
        chat(" two")[:-1],
        chat(" two")[:-9],
        chat(" two") + b"\n",
        chat(" two") + b"data",
        chat(" two") + b": comment\n\n",
        chat(" two").replace(b"\n\n", b"\r\n\r\n"),
        chat(" two").replace(b" two", b" t\nwo"),
        chat(" two").replace(b" two", b" t\rwo"),
        chat(" two").replace(b" two", b" t\\\nwo"),
        chat(" two").replace(b" two", b' t"wo'),
        chat(" two").replace(b" two", b" two\\"),
        chat(" two", choice={"finish_reason": "stop"}),
        chat(" two", choice={"index": 1}),
        chat(" two", usage={"prompt_tokens": 1}),
        chat("error"),
        chat('an "error'),
        chat("usage"),
        b": comment\n" + chat(" two"),
        b"event: error\n" + chat(" two"),
        b"id: 7\n" + chat(" two"),
    ],
)
def test_whatever_else_differs_does_not_fit(pattern_module, other):
    assert not learned(pattern_module, chat(" one"), chat(" another")).match(other)


def test_several_texts_and_numbers_may_differ(pattern_module):
    pattern = learned(pattern_module, response(" one", 9), response(" another", 10))
    assert pattern.match(response("x", 11) + response("", 12345))
    assert not pattern.match(response(" x", 11).replace(b"11", b"11.5"))
    assert not pattern.match(response(" x", 11).replace(b":11", b":"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (chat("a"), chat("b", usage=None)),
        (chat("a", x=1), chat("a", x=None)),
        (chat("a", x="b"), chat("a", y="b")),
        (chat("a", choice={"index": 0}), chat("b", choice={"index": 1})),
        (chat("a", choice={"index": 1}), chat("b", choice={"index": 2})),
        (event({"x": "a" * 99}, "one"), event({"x": "a" * 99}, "two")),
        (event({"x": "a" * 99}, "n1"), event({"x": "a" * 99}, "n2")),
        (event({"x": "a" * 99}), event({"x": "b" * 99})),  # nothing is left of it without the text
        (event('{"x": "a"' + " " * 99 + '"y": 1}'), event('{"x": "b"' + " " * 99 + '"y": 1}')),
        (b"id: 7\n" + chat("a"), b"id: 8\n" + chat("b")),
        (b": comment\n" + chat("a"), b": comment\n" + chat("b")),
        (chat("a").replace(b"\n", b"\r\n"), chat("b").replace(b"\n", b"\r\n")),
        (chat("a") * 2, chat("b") * 2),
    ],
)
def test_what_is_not_known_to_be_alike_has_no_pattern(pattern_module, one, other):
    pattern = learned(pattern_module, one, other)
    assert not pattern.match(one)
    assert not pattern.match(other)


def test_another_kind_of_event_ends_it(pattern_module):
    pattern = learned(pattern_module, chat("a"), chat("b"))
    pattern.forget()
    assert not pattern.match(chat("b"))
    pattern.learn(chat("a"), size_of(chat("a")))
    assert not pattern.match(chat("a"))
    pattern.learn(chat("b"), size_of(chat("b")))
    assert pattern.match(chat("c"))


def test_what_never_fits_is_not_compared_for_ever(pattern_module):
    odd = [chat("a", **{f"x{n}": 1}) for n in range(20)]
    pattern = learned(pattern_module, *odd, chat("a"), chat("b"))
    assert not pattern.match(chat("b"))


# The relay.

ODD = st.sampled_from(
    ["", "error", "usage", 'say "error', "finish_reason", "delta", "signature_delta", "\\", '"', "a\nb"]
)
TEXTS = st.one_of(ODD, st.text(max_size=20))
RARE = {
    "chat/completions": [
        chat("", choice={"finish_reason": "stop"}),
        chat("x", choice={"index": 1}),
        chat("x", usage={"prompt_tokens": 3, "completion_tokens": 2}),
        chat("x", usage=None),
        chat("x", error={"message": "broken"}),
        chat("x", error=None),
        event({"error": {"message": "broken"}}),
        event("[DONE]"),
        b": keep-alive\n\n",
        b"id: 1\n" + chat("x"),
    ],
    "messages": [
        message("x" * 400, "signature_delta", "signature"),
        message("x" * 40, "signature_delta", "signature"),
        message("{}", "input_json_delta", "partial_json"),
        message("x", index=1),
        event(
            {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use"}}, "content_block_start"
        ),
        event({"type": "ping"}, "ping"),
        event({"type": "error", "error": {"type": "overloaded_error", "message": "broken"}}, "error"),
        event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 3}}, "message_delta"),
        event({"type": "message_stop"}, "message_stop"),
        message("x").partition(b"\n")[2],
    ],
    "responses": [
        response("x", 3, "response.refusal.delta"),
        response("x", 3, "response.output_text.done"),
        event({"type": "response.completed", "response": {"usage": {"output_tokens": 3}}}, "response.completed"),
        event({"type": "error", "message": "broken"}, "error"),
    ],
}
WRITTEN = {
    "chat/completions": lambda text, n: chat(text),
    "messages": lambda text, n: message(text),
    "responses": response,
}


@st.composite
def streams(draw):
    route = draw(st.sampled_from(sorted(RARE)))
    kinds = draw(st.lists(st.one_of(TEXTS, TEXTS, st.sampled_from(RARE[route])), max_size=30))
    events = [kind if isinstance(kind, bytes) else WRITTEN[route](kind, n) for n, kind in enumerate(kinds)]
    whole = b"".join(events)
    if draw(st.booleans()):
        return route, events
    cuts = sorted({0, len(whole), *draw(st.lists(st.integers(0, len(whole)), max_size=8))})
    return route, [whole[begin:end] for begin, end in pairwise(cuts)]


def passed_on(route: str, chunks: list[bytes]) -> tuple[bytes, list[object]]:
    crossing = Crossing.__new__(Crossing)
    crossing._route = ROUTES[route]
    crossing.translates = False
    relay = EventRelay(crossing)
    out = b""
    moved = []
    for chunk in chunks:
        out += relay.take(chunk)
        moved.append(relay.moved())
    return out, [*(getattr(relay.stream, name) for name in TOLD), said(relay.stream), moved]


def read(route: str, chunks: list[bytes]) -> list[object]:
    crossing = Crossing.__new__(Crossing)
    crossing._route = ROUTES[route]
    stream, decoder = crossing.begin_stream(), SSEDecoder()
    moved = []
    for chunk in chunks:
        stream.moved = False
        stream.see(decoder.feed(chunk))
        moved.append(stream.moved)
    return [*(getattr(stream, name) for name in TOLD), said(stream), moved]


def said(stream: object) -> tuple[object, ...]:
    usage = stream.usage
    return stream.written(), usage and (usage.input, usage.output)


@given(streams())
@example(("messages", [message("a" * 9), message("b"), message("x" * 40, "signature_delta", "signature")] * 2))
@example(
    ("chat/completions", [chat("", choice={"finish_reason": "stop"}), *map(chat, "abcd"), chat("error"), chat("e")])
)
def test_a_stream_says_what_it_says_when_each_event_is_read(stream):
    route, chunks = stream
    out, told = passed_on(route, chunks)
    assert told == read(route, chunks)
    assert b"".join(chunks).startswith(out)
    whole = b"".join(chunks)
    assert len(whole) - len(out) <= len(whole) - whole.rfind(b"\n\n") - 2 or out == whole


# What is translated.

READ = {
    "chat/completions": [("messages", "chat"), ("responses", "chat")],
    "messages": [("chat", "messages"), ("responses", "messages")],
    "responses": [("chat", "responses"), ("messages", "responses")],
}
OPENED = {
    "chat/completions": [chat("", choice={"delta": {"role": "assistant", "content": ""}})],
    "messages": [
        event({"type": "message_start", "message": {"id": "m", "model": "x"}}, "message_start"),
        event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, "content_block_start"),
    ],
    "responses": [],
}  # fmt: skip
MORE = {
    "chat/completions": [
        chat("x", choice={"delta": {"content": "x", "reasoning_content": "y"}}),
        chat("x", choice={"delta": {"reasoning_content": "y"}}),
        chat("x", choice={"delta": {"refusal": "y"}}),
        chat("x", choice={"delta": {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{"}}]}}),
        chat("x", choice={"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "a"}}]}}),
        chat("\ud83d\ude00").replace(b"\\u", b"\xff"),
    ],
    "messages": [message("x", "thinking_delta", "thinking"), message("x").replace(b'"x"', b'"\xff"')],
    "responses": [],
}  # fmt: skip


@st.composite
def translated(draw):
    route = draw(st.sampled_from(sorted(READ)))
    pair = draw(st.sampled_from(READ[route]))
    kinds = draw(st.lists(st.one_of(TEXTS, TEXTS, TEXTS, st.sampled_from(RARE[route] + MORE[route])), max_size=30))
    events = [kind if isinstance(kind, bytes) else WRITTEN[route](kind, n) for n, kind in enumerate(kinds)]
    return route, pair, draw(st.booleans()), OPENED[route] + events


def crossing_of(route, pair, context):
    crossing = TranslatedCrossing.__new__(TranslatedCrossing)
    crossing._route, crossing._translator, crossing._context = ROUTES[route], TRANSLATORS[pair], context
    crossing.path = f"/{route}"
    crossing.translates = True
    return crossing


def as_a_client_gets_it(take, finish, chunks):
    out = []
    try:
        out.extend(map(take, chunks))
        out.append(finish())
    except UpstreamBadResponse as error:
        out.append(error.message.encode())
    return out


@given(translated())
@example(
    ("messages", ("chat", "messages"), True, OPENED["messages"] + [message(text) for text in "aabcé"] + [message("\n")])
)
@example(
    ("chat/completions", ("messages", "chat"), True, OPENED["chat/completions"] + [chat(text) for text in "aabcé"])
)
@example(
    (
        "chat/completions",
        ("messages", "chat"),
        True,
        OPENED["chat/completions"] + [chat("b", obfuscation=other) for other in "zabcd"],
    )
)
@example(
    (
        "messages",
        ("chat", "messages"),
        True,
        OPENED["messages"] + [message("b").replace(b"}}", b'},"p":"%b"}' % other.encode()) for other in "zabcd"],
    )
)
@example(
    (
        "chat/completions",
        ("responses", "chat"),
        True,
        OPENED["chat/completions"] + [chat("b", x=other).replace(b'"b"', b'"\\u0062"', 1) for other in "zabcd"],
    )
)
def test_what_is_translated_is_what_each_event_is_translated_to(case):
    route, pair, told, chunks = case
    one, other = (Context(model="m", request_id="r", include_usage=told) for _ in range(2))
    relayed, read = crossing_of(route, pair, one), crossing_of(route, pair, other)
    relay, stream, decoder = EventRelay(relayed), read.begin_stream(), SSEDecoder()
    relayed._events, read._events = TRANSLATORS[pair].stream(one, 0), TRANSLATORS[pair].stream(other, 0)

    def take(chunk: bytes) -> bytes:
        events = decoder.feed(chunk)
        stream.see(events)
        return read.feed(events)

    got = as_a_client_gets_it(relay.take, relayed.finish, chunks)
    assert got == as_a_client_gets_it(take, read.finish, chunks)
    assert [getattr(relay.stream, name) for name in TOLD] == [getattr(stream, name) for name in TOLD]
    assert one.warnings == other.warnings
