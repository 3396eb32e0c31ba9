"""What a relay asks of its two ends, and what they tell it."""

from __future__ import annotations

from typing import Protocol

from edge.sockets.peer import Closed, Message

__all__ = ["AT_ONCE", "GOODBYE_S", "MAX_EARLY", "End", "Hearer"]

AT_ONCE = 8192
"""Bytes of frames after which others have their turn: they may be a thousand messages."""

MAX_EARLY = 65536
"""Bytes of a client that does not wait for the handshake's answer."""

GOODBYE_S = 2.0
"""How long the other side has to answer that it closes too, until its connection is cut."""


class End(Protocol):
    """A client's side, or a provider's, whose handshake is over."""

    def say(self, message: Message) -> None:
        """Send it; nothing where it is closing."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Nothing more is said or told. It closes by itself, which may take `GOODBYE_S`."""
        ...

    def full(self) -> bool:
        """Whether it does not take what was written. It tells when there is room."""
        ...

    def pause(self) -> None:
        """Read nothing more for the time being; what was read may still be told."""
        ...

    def resume(self) -> None: ...


class Hearer(Protocol):
    """Who is told."""

    def came(self, end: End, message: Message) -> None: ...

    def holds(self, end: End, pending: int) -> None:
        """So many bytes are held of a message that is not whole yet."""
        ...

    def gone(self, end: End, closed: Closed) -> None:
        """The other side has closed, or is no more. Called once, and nothing after it."""
        ...

    def room(self, end: End) -> None: ...

    def fail(self, defect: BaseException) -> None:
        """A defect of ours was met."""
        ...
