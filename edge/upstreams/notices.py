"""What the processes of an edge tell each other of upstreams, in memory that they share.

Each process has a region that it alone writes: how many openings it has told of, and the latest `KEPT` of them, and the
same of an operator's orders, which no number of openings must push out. Whoever reads remembers how far it has read. A
process that begins reads what there is, so it knows what the others know.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["DRAINED", "OPENED", "RESTORED", "Notice", "Notices", "notices_size"]

OPENED, DRAINED, RESTORED = range(3)
KEPT = 64
"""More than can come between two looks: of each upstream one opening in its open time."""
WORDS = 4
RING = 8 * (1 + KEPT * WORDS)
RINGS = 2
"""Of openings, and of orders."""
REGION = RING * RINGS


class Notice(NamedTuple):
    """``key`` is that of a `Member`, ``what`` one of `OPENED`, `DRAINED`, `RESTORED`; ``until`` and ``at`` are seconds
    of the monotonic clock, which is one for all processes of a machine.
    """

    at: float
    key: int
    what: int
    until: float


def notices_size(processes: int) -> int:
    """Bytes for so many."""
    return REGION * processes


class Notices:
    """`memory` is a writable buffer of `notices_size`, zeros at first; `place` that of this process, from 0."""

    def __init__(self, memory: Any = None, place: int = 0) -> None:
        view = memoryview(bytearray(REGION) if memory is None else memory).cast("B")
        view = view[: len(view) // REGION * REGION]
        self._words = view.cast("Q")
        self._times = view.cast("d")
        self._place = place
        self._read = [0] * (len(view) // RING)

    def tell(self, key: int, what: int, until: float, now: float) -> None:
        """Tell the others."""
        ring = self._place * RINGS + (what != OPENED)
        first = ring * RING // 8
        count = self._words[first]
        at = first + 1 + count % KEPT * WORDS
        self._words[at], self._words[at + 1] = key, what
        self._times[at + 2], self._times[at + 3] = until, now
        self._words[first] = count + 1  # last: what is counted is whole
        if self._read[ring] == count:
            self._read[ring] = count + 1

    def news(self) -> list[Notice]:
        """What has been told since the last time, in its order; at first, what is still known."""
        found: list[Notice] = []
        for ring, known in enumerate(self._read):
            first = ring * RING // 8
            count = self._words[first]
            for number in range(max(known, count - KEPT), count):
                at = first + 1 + number % KEPT * WORDS
                key, what = self._words[at], self._words[at + 1]
                found.append(Notice(self._times[at + 3], key, what, self._times[at + 2]))
            self._read[ring] = count
        return sorted(found)
