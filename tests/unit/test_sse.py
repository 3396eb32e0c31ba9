"""The event decoder, on both builds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import BUILDS, load

CASES = {
    "one event": (b"data: a\n\n", [(b"message", b"a")]),
    "named": (b"event: ping\ndata: {}\n\n", [(b"ping", b"{}")]),
    "no space after the colon": (b"data:a\n\n", [(b"message", b"a")]),
    "only one space is taken": (b"data:  a\n\n", [(b"message", b" a")]),
    "several data lines": (b"data: a\ndata\ndata: b\n\n", [(b"message", b"a\n\nb")]),
    "comments": (b": hi\ndata: a\n: ho\n\n:\n\n", [(b"message", b"a")]),
    "a name without data is no event": (b"event: x\n\ndata: a\n\n", [(b"message", b"a")]),
    "unknown fields": (b"foo: bar\ndata: a\nbaz\n\n", [(b"message", b"a")]),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [(b"message", b"a"), (b"message", b"b")]),
    "CRLF": (b"event: e\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [(b"e", b"a"), (b"message", b"b")]),
    "mixed line ends": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\n\r", [(b"message", x) for x in (b"a", b"b", b"c")]),
    "BOM": (b"\xef\xbb\xbfdata: a\n\n", [(b"message", b"a")]),
    "a BOM later is a field": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"message", b"a")]),
    "a BOM alone": (b"\xef\xbb\xbf\ndata: a\n\n", [(b"message", b"a")]),
    "no final blank line": (b"data: a\n\ndata: b\n", [(b"message", b"a"), (b"message", b"b")]),
    "no final line end": (b"data: a\n\ndata: [DONE]", [(b"message", b"a"), (b"message", b"[DONE]")]),
    "characters that are no line end": (
        "data: a\u2028b\u0085c\x0bd\n\n".encode(),
        [(b"message", "a\u2028b\u0085c\x0bd".encode())],
    ),
    "empty data": (b"data\n\ndata:\n\n", [(b"message", b""), (b"message", b"")]),
    "UTF-8": ("data: grüße 🦜\n\n".encode(), [(b"message", "grüße 🦜".encode())]),
    "nothing": (b"", []),
    "blank lines": (b"\n\n\r\n\r\r\n", []),
}


def decode(module, pieces):
    decoder = module.SSEDecoder()
    events = []
    for piece in pieces:
        events += decoder.feed(piece)
    return events + decoder.finish()


@pytest.mark.parametrize("name", CASES)
def test_each_form_is_read_whole_bytewise_and_in_every_two_parts(sse_module, name):
    stream, expected = CASES[name]
    assert decode(sse_module, [stream]) == expected
    assert decode(sse_module, [stream[i : i + 1] for i in range(len(stream))]) == expected
    for cut in range(len(stream) + 1):
        assert decode(sse_module, [stream[:cut], stream[cut:]]) == expected


LINES = st.lists(
    st.sampled_from((*(b"data: a", b"data:b", b"data", b"data:", b"event: e", b"event:", b"event", b": c"), b"", b""))
)


@given(LINES, st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"]), st.integers(0, 9))
def test_what_comes_after_an_event_is_read_the_same_at_once_and_bytewise(lines, ends, cut):
    data = b"".join(line + ends for line in lines)
    data = data[: max(0, len(data) - cut)]
    for build in BUILDS:
        whole, bytewise = (load("sse", build).SSEDecoder() for _ in range(2))
        for decoder in (whole, bytewise):
            decoder.feed(b"data: first\n\n")
        events = [event for i in range(len(data)) for event in bytewise.feed(data[i : i + 1])]
        assert whole.feed(data) == events
        assert (whole.pending, whole.begun, whole.finish()) == (bytewise.pending, bytewise.begun, bytewise.finish())


def test_id_and_retry_are_kept(sse_module):
    decoder = sse_module.SSEDecoder()
    decoder.feed(b"id: 7\nretry: 1500\ndata: a\n\nid: b\x00d\nretry: soon\n\n")
    assert decoder.last_event_id == b"7"
    assert decoder.retry_ms == 1500


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_what_is_not_pending_always_ends_at_an_event(sse_module, end):
    stream = end.join([b"event: a", b"data: 1", b"", b": note", b"data: 2", b"data: 3", b"", b"data: 4", b"", b""])
    whole = decode(sse_module, [stream])
    for cut in range(1, len(stream)):
        decoder = sse_module.SSEDecoder()
        sent, held = b"", b""
        events = []
        for piece in (stream[:cut], stream[cut:]):
            events += decoder.feed(piece)
            held += piece
            ready = len(held) - decoder.pending
            sent, held = sent + held[:ready], held[ready:]
            assert decode(sse_module, [sent]) == events
        assert sent == stream
        assert events == whole


def test_a_line_that_is_too_long_is_refused(sse_module):
    for pieces in ([b"data: " + b"x" * 100 + b"\n\n"], [b"data: "] + [b"x" * 10] * 10):
        decoder = sse_module.SSEDecoder(max_line=64)
        with pytest.raises(sse_module.SSELimitError):
            for piece in pieces:
                decoder.feed(piece)


def test_an_event_of_many_lines_is_bounded(sse_module):
    decoder = sse_module.SSEDecoder(max_event=64)
    with pytest.raises(sse_module.SSELimitError):
        for _ in range(100):
            decoder.feed(b"data: xxxxxxxx\n")


def test_recorded_streams_are_the_same_however_they_are_split(sse_module, recordings):
    streams = [recording.answer for recording in recordings if recording.is_stream]
    assert streams
    rng = random.Random(1)
    splits = 0
    for stream in streams:
        whole = decode(sse_module, [stream])
        assert whole
        assert decode(sse_module, [stream[i : i + 1] for i in range(len(stream))]) == whole
        cuts = range(1, len(stream)) if len(stream) < 4096 else rng.sample(range(1, len(stream)), 200)
        for cut in cuts:
            assert decode(sse_module, [stream[:cut], stream[cut:]]) == whole
        splits += len(cuts)
        for end in (b"\r\n", b"\r"):
            assert decode(sse_module, [stream.replace(b"\r\n", b"\n").replace(b"\n", end)]) == whole
    print(f"\n{len(streams)} recorded streams, {splits} splits, bytewise, three line ends: 0 differences")


@pytest.mark.once
@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from([b"data: ", b"data", b":", b"\n", b"\r", b"\r\n", b"event: e", b"x", b"\xef\xbb\xbf", b"id"])
    ),
    st.data(),
)
def test_both_builds_agree_on_any_stream_and_any_split(pieces, data):
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    pure, compiled = load("sse", "pure"), load("sse", "compiled")
    expected = decode(pure, [stream])
    assert decode(pure, parts) == expected
    assert decode(compiled, [stream]) == expected
    assert decode(compiled, parts) == expected
    one, other = pure.SSEDecoder(), compiled.SSEDecoder()
    for part in parts:
        one.feed(part)
        other.feed(part)
        assert one.pending == other.pending


@pytest.mark.parametrize("line", [b"id: x\n: comment\n", b"id: 1\n", b"event: x\n", b"data:\n", b"x\n"])
def test_lines_that_never_end_an_event_are_bounded(sse_module, line):
    decoder = sse_module.SSEDecoder(max_event=1000)
    with pytest.raises(sse_module.SSELimitError):
        for _ in range(100_000):
            decoder.feed(line)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_comments_between_events_are_not_pending_and_fields_are(sse_module, end):
    decoder = sse_module.SSEDecoder()
    for piece, begun in (
        (b"data: 1" + end + end, False),
        (b": a", False),
        (b"bc" + end, False),
        (b": d" + end + b": e" + end, False),
        (b"event: x" + end, True),
        (b": inside" + end, True),
        (b"data: 2" + end + end, False),
        (b"id", True),
    ):
        decoder.feed(piece)
        assert decoder.begun == begun
        whole = piece.endswith(end) and not begun
        assert (decoder.pending == 0) == whole
    assert decoder.finish() == []
