"""The waits of a request between its attempts: for a place at an upstream, for the time to ask again, for a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge.clock import perf_counter
from edge.ledger import Ledger
from edge.upstreams.clocks import Deadline
from edge.upstreams.gate import Gate, Place

__all__ = ["FULL", "Waiting"]

FULL = "The upstreams of this model have as many requests in flight as they may; ask again."
"""What is told where no place came."""


class Waiting:
    """One wait at a time, in which a deadline runs; what was waited is not the edge's own time. All waits for places
    together last as long as one may.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._place: Place | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._queued_s = 0.0
        self._came: Callable[[bool, float], None] | None = None

    def for_place(
        self, deadline: Deadline, gate: Gate, priority: int, now: float, came: Callable[[bool, float], None]
    ) -> bool:
        """Call `came` with True once there is a place, with False where none has come in time, and with the moment of
        that. False where there is no room to wait.
        """
        self._place = gate.wait(priority, now, self._told)
        if self._place is None:
            return False
        self._came = came
        self._begin(deadline, max(0.0, gate.max_wait_s - self._queued_s), self._late)
        return True

    def for_time(self, deadline: Deadline, seconds: float, then: Callable[[], None]) -> None:
        """Call `then` after so long."""
        self._begin(deadline, seconds, then)

    def for_word(self, deadline: Deadline) -> None:
        """Until `stop`, for what Redis says of the limits: the word comes to who has asked."""
        self._since = perf_counter()
        deadline.wait()

    def stop(self) -> None:
        """It waits no more."""
        place, timer, self._place, self._timer, self._came = self._place, self._timer, None, None, None
        since, self._since = self._since, 0.0
        if since:
            self._ledger.waited(since)
        if timer is not None:
            timer.cancel()
        if place is not None:
            self._queued_s += perf_counter() - since
            place.leave()

    def _begin(self, deadline: Deadline, seconds: float, then: Callable[[], None]) -> None:
        self._since = perf_counter()
        deadline.wait()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _late(self) -> None:
        self._told(False, perf_counter())

    def _told(self, came: bool, now: float) -> None:
        told = self._came
        self.stop()
        if told is not None:
            told(came, now)
