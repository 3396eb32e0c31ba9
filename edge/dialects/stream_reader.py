"""What the translators of streams have in common: each reads the events of one API, and has a writer for those of
another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Protocol

from edge.dialects.stream import type_of
from edge.dialects.translation import Context
from edge.errors import UNREADABLE, EdgeError, UpstreamBadResponse, UpstreamStreamBroken
from edge.hooks import Usage

__all__ = ["UNREADABLE_EVENT", "EventReader", "StreamReader"]

UNREADABLE_EVENT = "The provider sent an event that cannot be read."


class Writer(Protocol):
    """Collects the events of one stream."""

    def taken(self) -> bytes:
        """Those since this was asked last."""
        ...

    def failure(self, error: EdgeError, request_id: str) -> bytes:
        """An error of our own as the last thing one client is sent; others may go on."""
        ...


class StreamReader(ABC):
    """One stream. `feed` takes events as the SSE decoder gives them, and `finish` the end of the body; both return what
    to send on. After an error, or the end, they return nothing more. Raises UpstreamBadResponse for an event that
    cannot be read.

    ``usage`` and ``latest`` are as `edge.dialects.translators` says.
    """

    __slots__ = ("_closed", "_context", "_writer", "latest", "usage")

    def __init__(self, context: Context, writer: Writer) -> None:
        self._context = context
        self._writer = writer
        self._closed = False
        self.latest = ""
        self.usage: Usage | None = None

    @abstractmethod
    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes: ...

    def again(self, text: str) -> bytes:
        raise NotImplementedError  # no event is known to be as the one before

    def finish(self) -> bytes:
        """The body has ended: a stream without its last event was cut off, and its client has to know."""
        return self.fail(UpstreamStreamBroken(), self._context.request_id)

    def fail(self, error: EdgeError, request_id: str) -> bytes:
        """An error of our own as the last thing one client is sent; others may go on."""
        return b"" if self._closed else self._writer.failure(error, request_id)

    def _count(self, usage: Usage | None) -> None:
        """What an event tells, None where it tells nothing: counts are totals, and never added."""
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)


class EventReader(StreamReader):
    """Of an API whose events have names. ``STEPS`` is the method for each event that says something, ``FAULTS`` what
    that raises where the event cannot be read.
    """

    __slots__ = ()
    STEPS: ClassVar[Mapping[bytes, str]] = {}
    FAULTS: ClassVar[tuple[type[Exception], ...]] = UNREADABLE

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes:
        for name, data in events:
            if self._closed:
                break
            self.latest = ""
            if name == b"message":
                name = type_of(data)  # a compatible server that leaves the event's name out
            step = self.STEPS.get(name)
            if step is None:
                if not self._says_nothing(name, data):
                    self._context.warnings.add("event")
                continue
            try:
                getattr(self, step)(data)
            except self.FAULTS:
                raise UpstreamBadResponse(UNREADABLE_EVENT) from None
        return self._writer.taken()

    @abstractmethod
    def _says_nothing(self, name: bytes, data: bytes) -> bool:
        """Whether nobody misses an event that has no step."""
