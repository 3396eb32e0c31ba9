"""What a connection asks of the requests on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["LEAVING", "Leaving", "SocketTurn", "Turn"]

LEAVING = "edge.leaving"
"""Where an ASGI scope has a `Leaving`."""


def nothing() -> None:
    """Nobody is to be told."""


class Leaving:
    """``tell`` is called when a client leaves: who waits for anything but the next message would not see it."""

    __slots__ = ("tell",)

    def __init__(self) -> None:
        self.tell: Callable[[], None] = nothing


class Turn(Protocol):
    """One request of a connection. ``begun``: a part of its answer is written; ``ended``: all of it is; ``closes``: the
    connection ends with it.
    """

    closes: bool

    @property
    def begun(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    def waited(self) -> None:
        """Until now others on its connection were answered; `begin` follows."""
        ...

    def begin(self) -> None:
        """Its turn has come: answer it."""
        ...

    def take(self, data: bytes) -> None:
        """The next bytes of its body; also before `begin`."""
        ...

    def whole(self) -> None:
        """Its body is complete; also before `begin`."""
        ...

    def lost(self) -> None:
        """Nobody waits for its answer any more."""
        ...


class SocketTurn(Turn, Protocol):
    """The last request of a connection, after which it speaks WebSocket."""

    def hear(self, data: bytes) -> None:
        """Bytes behind its head; also before `begin`."""
        ...

    def takes(self, more: bool) -> None:
        """Whether the client takes what is written: it does not for the time being, or it does again."""
        ...
