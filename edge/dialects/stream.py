"""What a relay has to know about a stream of events, whatever its dialect."""

from __future__ import annotations

import msgspec

from edge.dialects.estimate import envelope
from edge.errors import UNREADABLE, EdgeError
from edge.hooks import MAX_COUNT, Usage

__all__ = ["Stream", "count", "heartbeat", "one_line", "type_of"]

HEARTBEATS = frozenset({b"ping", b"keepalive", b"keep-alive", b"heartbeat"})
"""Events that say that a provider is there, and nothing else: Anthropic's ping, OpenAI's keepalive, and others'."""
BRIEF = 80
"""Bytes of data a heartbeat may have; hardly any other event is so short."""


class _Typed(msgspec.Struct):
    type: str = ""


_decode_type = msgspec.json.Decoder(_Typed).decode


def type_of(data: bytes) -> bytes:
    """The ``type`` of an event's data, b"" if it has none."""
    try:
        return _decode_type(data).type.encode()
    except UNREADABLE:
        return b""


def heartbeat(name: bytes, data: bytes) -> bool:
    """Whether an event does nothing but keep the stream alive."""
    if len(data) >= BRIEF:
        return False
    return name in HEARTBEATS or not data.strip(b' "{}') or type_of(data) in HEARTBEATS


def one_line(body: bytes) -> bytes:
    """JSON as the data of one event: its line ends can only be white space."""
    return body.replace(b"\r", b" ").replace(b"\n", b" ").strip()


def count(tokens: int | None) -> int:
    """A provider's count of tokens if it can be one, else -1."""
    return tokens if tokens is not None and 0 <= tokens <= MAX_COUNT else -1


class Stream:
    """Reads a provider's events as they pass.

    ``accepted``: the provider has said that the work is under way. ``content``: something the client waits for has
    come. ``finished``: the terminal event has come. ``failed``: the provider has reported an error inside the stream;
    what it says after that is no part of the answer. ``seen``: how many events have come. ``moved``: one has come that
    is more than a heartbeat, since the reader of this last set it to False.

    ``opening`` and ``closing`` are the data of the events that say who answers, and how the answer ends, b"" where none
    has: nobody has read them.

    ``plain``: the latest event was a delta and nothing more, so that all which an `EventPattern` finds like it are too.

    For an estimate, where no usage comes, it is noted how much content there was: ``deltas`` events of ``size`` bytes
    of data, the first of them as a sample of what stands around the text, and how many tool ``calls`` began. No event
    is parsed for that before somebody asks.
    """

    __slots__ = (
        "accepted",
        "calls",
        "closing",
        "content",
        "deltas",
        "error_data",
        "failed",
        "finished",
        "moved",
        "opening",
        "plain",
        "sample",
        "seen",
        "size",
        "usage",
    )

    def __init__(self) -> None:
        self.opening = self.closing = b""
        self.accepted = False
        self.content = False
        self.finished = False
        self.failed = False
        self.moved = False
        self.plain = False
        self.error_data = b""
        self.usage: Usage | None = None
        self.seen = 0
        self.deltas = 0
        self.size = 0
        self.sample = b""
        self.calls = 0

    def see(self, events: list[tuple[bytes, bytes]]) -> None:
        """Take the next events, as ``(name, data)``."""
        for name, data in events:
            if self.failed:
                return
            if len(data) >= BRIEF or not heartbeat(name, data):
                self.moved = True
            self.plain = False
            self.seen += 1
            self.event(name, data)

    def event(self, name: bytes, data: bytes) -> None:
        """Take one event."""
        raise NotImplementedError

    def again(self, events: int, size: int) -> None:
        """So many more have come that are like the latest, which was `plain`, of `size` bytes of data."""
        self.moved = True
        self.seen += events
        self.deltas += events
        self.size += size

    def complete_at_end(self) -> bool:
        """The HTTP body has ended properly: was the stream complete?"""
        raise NotImplementedError

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        """An error as the bytes of one event in this dialect."""
        raise NotImplementedError

    def early_error(self) -> tuple[int, bytes]:
        """The error that came before any content, as the HTTP status and body it would have had without a stream."""
        return self.refusal(self.error_data)

    def refusal(self, data: bytes) -> tuple[int, bytes]:
        """An error that came with status 200, as an event's data or as a whole body: the HTTP status and body that it
        should have had.
        """
        raise NotImplementedError

    def refusal_event(self, body: bytes) -> bytes:
        """The body of an error as the bytes of one event, b"" if it is none of this dialect."""
        raise NotImplementedError

    def written(self) -> int:
        """The bytes of text in the deltas noted, about."""
        return max(0, self.size - self.deltas * envelope(self.sample)) if self.deltas else 0

    def estimate(self, model: str) -> int:
        """The output tokens that have come so far from `model`, where nobody counted them: -1 for a stream that cannot
        be read.
        """
        return -1

    def reported(self) -> Usage | None:
        """What the provider has said so far of what the answer used."""
        return self.usage

    def add_usage(self, usage: Usage | None) -> None:
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)
