"""What is measured of a hot module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """A `statement`, timed in a loop with what `setup` returns as its names; `setup` is given one build's module.

    The cost shown is that of one of the `units` a statement does, in nanoseconds; where `size` (bytes) is given, it is
    the speed, in MB/s. `limit` is the target for the compiled build: at most so many ns, or at least so many MB/s.
    `ratio` is the least gain over the pure build. `pure` False leaves the pure build out.
    """

    module: str
    name: str
    setup: Callable[[ModuleType], dict[str, Any]]
    statement: str
    units: int = 1
    size: int = 0
    limit: float | None = None
    ratio: float | None = None
    pure: bool = True

    def shown(self, seconds: float) -> float:
        """What a table says of a statement that took so many seconds."""
        return self.size / seconds / 1e6 if self.size else seconds / self.units * 1e9

    def met(self, shown: float) -> bool:
        if self.limit is None:
            return True
        return shown >= self.limit if self.size else shown <= self.limit
