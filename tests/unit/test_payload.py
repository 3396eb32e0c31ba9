"""What is read in a body."""

from __future__ import annotations

import pytest

from edge.errors import DuplicateKey, InvalidJSON, InvalidRequest, InvalidValue, MissingParameter
from tests.unit.calls import asked

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
