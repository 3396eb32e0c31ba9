"""What a connection asks of the requests on it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Turn"]


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
