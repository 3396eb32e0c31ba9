"""What was found before, and follows from what it was found by: bounded, and found anew when it is not there."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["keep"]

K = TypeVar("K")
V = TypeVar("V")


def keep(memo: dict[K, V], key: K, value: V, most: int = 4096) -> V:
    """Remember, and return, `value`. A memo has at most `most`: clients choose what is asked for, so who would be one
    too many finds it empty.
    """
    if len(memo) >= most:
        memo.clear()
    memo[key] = value
    return value
