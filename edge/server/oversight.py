"""Whom the supervisor asks for a configuration, and whom it tells how its workers do."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Configuration", "Watcher"]


class Watcher(Protocol):
    """Who is told how the workers do: `edge.telemetry.supervision.Supervision`."""

    def workers(self, counts: dict[str, int]) -> None:
        """How many there are, as `edge.server.children.counts` says."""
        ...

    def replaced(self, reason: str) -> None:
        """A worker has ended and is replaced; `reason` is `reason`'s."""
        ...

    def reloaded(self, succeeded: bool) -> None:
        """Another configuration was read, and is in force or cannot be used."""
        ...


class Configuration(Protocol):
    """How the supervisor has a configuration read."""

    def read(self, file: int) -> bool:
        """In a process of its own: write to `file` what workers need of it, and return True; or why it cannot be
        used, line by line, and return False.
        """
        ...

    def rewritten(self) -> bool:
        """Whether the configuration's own file has changed since this was last asked, if that is looked at."""
        ...

    def changed(self) -> bool:
        """Whether a file that the configuration names has changed since this was last asked."""
        ...

    def renew(self, file: int) -> bool:
        """As `read`, of those files alone."""
        ...

    def adopt(self, file: int) -> None:
        """Serve by what `read` has written, from the next worker on."""
        ...
