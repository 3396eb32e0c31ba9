"""What was found before, and follows from what it was found by: bounded, and found anew when it is not there."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["Memo"]

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """A dictionary of at most `most`: clients choose what is asked for, so who would be one too many finds it empty."""

    __slots__ = ("_most",)

    def __init__(self, most: int = 4096) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: K, value: V) -> V:
        """Remember, and return, `value`."""
        if len(self) >= self._most:
            self.clear()
        self[key] = value
        return value
