"""Both forms of an answer from one entry: JSON or a stream, in the dialect it was asked in.

An entry keeps the form it was born in, byte for byte, and is turned into the other only when that is asked for. What
cannot be turned for certain is a miss (None).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from edge.cache.deltas import Unclear, read
from edge.cache.entry import Entry
from edge.cache.replay_messages import message_events, whole_message
from edge.cache.replay_openai import chat_events, completion_events, whole_chat, whole_completion
from edge.cache.replay_responses import response_events, whole_response

__all__ = ["events", "whole"]

WHOLE: dict[str, Callable[[list[tuple[bytes, bytes]]], bytes]] = {
    "chat": whole_chat,
    "completions": whole_completion,
    "messages": whole_message,
    "responses": whole_response,
}
ON_REQUEST: dict[str, Callable[..., list[bytes]]] = {"chat": chat_events, "completions": completion_events}
"""Streams that report usage only to who asks for it: ``stream_options.include_usage``."""
ALWAYS: dict[str, Callable[[bytes], list[bytes]]] = {"messages": message_events, "responses": response_events}
"""Streams that always do."""

USAGE = b'"usage"'
WINDOW = 16384
"""So many bytes from its end a stream is searched for its usage, which is in its last events, and is a few hundred."""
LOOKS = 4
"""So many events from its end that have a ``usage``."""
LINE_END = re.compile(rb"\r\n|\n|\r")


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


def whole(entry: Entry) -> bytes | None:
    """The JSON body of an answer; what the stream of a stream-born entry stands for, in all that the SDKs show.

    None where that cannot be told for certain: a chat or completions stream that did not report its usage, a tool's
    input that is cut off, an event of an unknown kind. Takes time in proportion to the body: about 6 us per event.
    """
    if not entry.chunks:
        return entry.body
    put_together = WHOLE.get(entry.api)
    if put_together is None:
        return None
    try:
        return put_together(read(entry.body))
    except (Unclear, RecursionError):
        return None


def events(entry: Entry, *, include_usage: bool) -> list[tuple[int, bytes]] | None:
    """The answer as a stream: what to write, and when, in milliseconds since the first write.

    A stream-born entry is written as it came, byte for byte. `include_usage` is what the client asked for, and matters
    to chat and completions only: to a client that did not ask, the event that does nothing but report usage is left
    out; to one that did, an entry that reports none is no answer. A JSON-born entry is made into a stream, all of it at
    0 ms. None where there is no such stream.
    """
    if entry.chunks:
        return _recorded(entry, include_usage=include_usage)
    try:
        if entry.api in ON_REQUEST:
            made = ON_REQUEST[entry.api](entry.body, include_usage=include_usage)
        elif entry.api in ALWAYS:
            made = ALWAYS[entry.api](entry.body)
        else:
            return None
    except (Unclear, RecursionError):
        return None
    return [(0, data) for data in made]


def _recorded(entry: Entry, *, include_usage: bool) -> list[tuple[int, bytes]] | None:
    body, start = entry.body, 0
    out: list[tuple[int, bytes]] = []
    if entry.chunks[-1][1] != len(body):
        return None
    gaps: list[tuple[int, int]] = []
    if entry.api in ON_REQUEST:
        reported, found = _usage(body)
        if include_usage and not reported:
            return None
        if not include_usage:
            gaps = found
    first = gaps[0][0] if gaps else len(body)
    for at_ms, end in entry.chunks:
        if end < start:
            return None
        data = body[start:end] if end <= first else _without(body, start, end, gaps)
        if data:
            out.append((at_ms, data))
        start = end
    return out


def _without(body: bytes, start: int, end: int, gaps: list[tuple[int, int]]) -> bytes:
    """``body[start:end]`` without what lies in `gaps`, which are in their order and apart."""
    pieces = []
    for first, last in gaps:
        if start < first:
            pieces.append(body[start : min(first, end)])
        start = max(start, last)
    if start < end:
        pieces.append(body[start:end])
    return b"".join(pieces)


def _usage(body: bytes) -> tuple[bool, list[tuple[int, int]]]:
    """Whether a stream of chunks reports usage at its end, and where the events lie that do nothing else.

    Usage comes in a chunk of its own, without choices; from some servers (unasked, or with each chunk) in the last
    chunk that has some, and then stays there. Searched from the end, so that nothing else is read.
    """
    floor = max(0, len(body) - WINDOW)
    reported = False
    gaps: list[tuple[int, int]] = []
    at = len(body)
    for _ in range(LOOKS):
        at = body.rfind(USAGE, floor, at)
        if at < 0:
            break
        start, end = _event_at(body, at, floor)
        text = body[start:end]
        if reported and (b'"choices":[{' in text or b'"choices": [{' in text):
            break
        chunk = _chunk(text)
        if chunk is None:
            break
        reported = reported or bool(chunk.usage)
        if chunk.choices:
            break
        if chunk.usage:
            gaps.insert(0, (start, end))
        at = start
    return reported, gaps


def _event_at(body: bytes, at: int, floor: int) -> tuple[int, int]:
    """Where the event around a position begins, and where it ends: after its blank line."""
    start, end = body.rfind(b"\n\n", floor, at) + 2, body.find(b"\n\n", at) + 2
    if start > 1 and end > 1 and body.find(b"\r", start, end) < 0:
        return start, end
    start = at
    while True:
        end = body.rfind(b"\n", floor, start)
        end = max(end, body.rfind(b"\r", max(end, floor), start))
        start = end + 1
        if end < 0:
            start = floor
            break
        if body[end] == 0x0A and end > floor and body[end - 1] == 0x0D:
            end -= 1
        if end == floor or body[end - 1] in b"\r\n":
            break
        start = end
    while True:
        line = LINE_END.search(body, at)
        if line is None:
            return start, len(body)
        blank = LINE_END.match(body, line.end())
        if blank is not None:
            return start, blank.end()
        at = line.end()


def _chunk(text: bytes) -> _Chunk | None:
    """The chunk of one event; None if that is not what this is."""
    try:
        if text.startswith(b"data: ") and text.find(b"\n") == len(text) - 2:
            return _decode_chunk(text[6:-2])
        found = read(text)
        return _decode_chunk(found[0][1]) if len(found) == 1 else None
    except (Unclear, ValueError, RecursionError):
        return None
