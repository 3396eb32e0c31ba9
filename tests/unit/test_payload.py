"""What is read in a body."""

from __future__ import annotations

import json
import random

import pytest

from edge._fast import KnownHead, RequestHead
from edge.errors import DuplicateKey, EdgeError, InvalidJSON, InvalidRequest, InvalidValue, MissingParameter
from edge.guard.expected import expected_input, most_output
from edge.guard.validate import Reading, check_body
from edge.head import Head
from edge.routes import match
from tests.unit.calls import STATE, Asked, asked

CHAT, COMPLETIONS, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/messages"
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def test_a_payload_has_what_the_body_asks_for():
    body = rb'{"model":"m\u0061", "stream": true, "messages":[{"a":1,"a":2}], "tools":[]}'
    payload = asked(body.replace(b"messages", b"others"), headers=[("x-edge-timeout-ms", "250")]).payload
    assert payload.body == body.replace(b"messages", b"others")
    assert (payload.model, payload.stream, payload.include_usage, payload.deadline_ms) == ("ma", True, False, 250)
    assert (payload.values, payload.scan.repeated) == (7, True)
    start, end = payload.span(b"model")
    assert payload.body[start:end] == rb'"m\u0061"'


@pytest.mark.parametrize(("stream", "asks"), [(True, True), (False, False), (None, False)])
def test_a_stream_is_what_says_so(stream, asks):
    payload = asked({"model": "m", "stream": stream}).payload
    assert (payload.stream, payload.deadline_ms) == (asks, 0)


@pytest.mark.parametrize(
    ("path", "more", "included"),
    [
        (CHAT, WITH_USAGE, True),
        (COMPLETIONS, WITH_USAGE, True),
        (MESSAGES, WITH_USAGE, False),  # these always tell
        (CHAT, {**WITH_USAGE, "stream": False}, False),
        (CHAT, {**WITH_USAGE, "stream_options": {"include_usage": 1}}, False),
        (CHAT, {**WITH_USAGE, "stream_options": [1]}, False),
        (CHAT, {**WITH_USAGE, "stream_options": None}, False),
        (CHAT, {"stream": True}, False),
    ],
)
def test_usage_is_included_where_a_stream_of_chunks_is_asked_to(path, more, included):
    assert asked({"model": "m", **more}, path).payload.include_usage is included


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", InvalidJSON),
        (b'{"model":"m"', InvalidJSON),
        (rb'{"model":"m","mod\u0065l":"n"}', DuplicateKey),
        (b"{}", MissingParameter),
        (b'{"model":1}', InvalidRequest),
        (b'{"model":""}', InvalidValue),
        (rb'{"model":"m\n"}', InvalidValue),
        (b'{"model":"%b"}' % (b"m" * 257), InvalidValue),
        (b'{"model":"m","stream":1}', InvalidRequest),
    ],
)
def test_what_is_not_sound_is_refused(body, error):
    with pytest.raises(error):
        asked(body)


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "soon", "86400001", "1234567890"])
def test_a_deadline_is_a_number_of_milliseconds_up_to_a_day(value):
    with pytest.raises(InvalidRequest):
        asked({"model": "m"}, headers=[("x-edge-timeout-ms", value)])


def head_of(path: str, *, kept: bool) -> Head:
    """That of a client which sends it again and again, or of one that is not remembered."""
    fields = [(b"host", b"x"), (b"content-length", b"1")]
    read = RequestHead()
    assert read.read(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n" % path.encode()) > 0
    return Head(match(path.encode()), "POST", path.encode(), b"", fields, KnownHead(read) if kept else None)


def told(head: Head, body: bytes) -> tuple[object, ...]:
    """All that is read in a body, or why it is refused."""
    call = Asked(head, {}, "", 0.0, STATE)
    call.body = body
    try:
        check_body(call, Reading(body))
    except EdgeError as error:
        return (type(error), error.message, error.param)
    payload = call.payload
    said = (payload.model, payload.stream, payload.include_usage, payload.deadline_ms, payload.body)
    return (*said, payload.values, payload.scan.repeated, payload.spans, expected_input(call), most_output(payload))


SAID = {"model": "gpt-4o", "messages": [{"role": "user", "content": "h\u00e9"}], "max_tokens": 5, "temperature": 0.5}
SENT = [
    *(SAID, {**SAID, **WITH_USAGE}, {**SAID, "tools": [{"a": 1}], "stream": None}, {**SAID, "model": "m\n"}),
    *({**SAID, "messages": "said"}, {**SAID, "model": 5}, {**SAID, "stream": "true"}, {"model": "", "messages": []}),
]
PIECES = [
    *(b'"', b"\\", rb"\u0065", rb"\ud800", b"{", b"}", b"[", b"]", b",", b":", b"0", b"12", b"-", b".5", b"e1", b" "),
    *(
        b"\n",
        b"\0",
        b"\x80",
        b"\xff",
        "\u00e9".encode(),
        b'"model":"x",',
        b"true",
        b"null",
        b'","stream":"',
        b"max_tokens",
    ),
]


@pytest.mark.parametrize("path", [CHAT, MESSAGES, "/v1/responses"])
def test_what_came_before_with_the_same_head_changes_nothing_of_what_is_read(path):
    """Bodies with any few changes, each after many others that were alike."""
    kept, chance, known = head_of(path, kept=True), random.Random(13), 0
    for _ in range(150):
        for body in SENT:
            other = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode()
            for _ in range(chance.choice((0, 0, 1, 1, 2))):
                at = chance.randrange(len(other) + 1)
                other = other[:at] + chance.choice(PIECES) + other[at + chance.choice((0, 0, 1, 4)) :]
            known += kept.bodies is not None and kept.bodies.find(other) is not None
            assert told(kept, other) == told(head_of(path, kept=False), other)
    assert known > 50


def test_a_body_like_one_before_is_known_by_it_and_its_model_is_its_own():
    head = head_of(CHAT, kept=True)
    bodies = [json.dumps({**SAID, "model": f"m{n}", "max_tokens": n}).encode() for n in range(5)]
    assert told(head, bodies[0])[0] == "m0"
    assert head.bodies is not None
    assert all(head.bodies.find(body) is not None for body in bodies)
    assert [told(head, body)[0] for body in bodies * 2] == ["m0", "m1", "m2", "m3", "m4"] * 2
