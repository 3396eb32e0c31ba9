"""What a relay has to know about a stream of events, whatever its dialect."""

from __future__ import annotations

from abc import ABC, abstractmethod

from edge.errors import EdgeError
from edge.hooks import Usage

__all__ = ["Stream"]


class Stream(ABC):
    """Reads a provider's events as they pass.

    ``content``: something the client waits for has come. ``finished``: the terminal event has come. ``failed``: the
    provider has reported an error inside the stream. ``events`` counts what was seen.
    """

    __slots__ = ("content", "error_data", "events", "failed", "finished", "usage")

    def __init__(self) -> None:
        self.content = False
        self.finished = False
        self.failed = False
        self.error_data = b""
        self.usage: Usage | None = None
        self.events = 0

    def see(self, events: list[tuple[bytes, bytes]]) -> None:
        """Take the next events, as ``(name, data)``."""
        self.events += len(events)
        for name, data in events:
            self.event(name, data)

    @abstractmethod
    def event(self, name: bytes, data: bytes) -> None:
        """Take one event."""

    @abstractmethod
    def complete_at_end(self) -> bool:
        """The HTTP body has ended properly: was the stream complete?"""

    @abstractmethod
    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        """An error as the bytes of one event in this dialect."""

    def error_status(self) -> int:
        """The HTTP status an error inside the stream stands for."""
        return 502

    def add_usage(self, usage: Usage | None) -> None:
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)
