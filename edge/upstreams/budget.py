"""How often a worker may ask an upstream again that has just failed: a share of what succeeds, so that retries never
make an outage worse, and a floor for an edge that has little to do.

Finagle's retry budget (https://twitter.github.io/finagle/guide/Clients.html#retries), as a bucket of tokens.
"""

from __future__ import annotations

__all__ = ["HedgeBudget", "RetryBudget"]

FLOOR = 10.0
"""Retries at once where nothing has succeeded yet."""
FLOOR_PER_S = 1.0
MOST = 500.0
"""What a long time without failures leaves for the next outage."""
MOST_HEDGES = 20.0
"""So few that an upstream which has become slow as a whole is not asked twice for long."""


class RetryBudget:
    """Whoever has an answer adds to ``successes``. Times are those of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.successes = 0
        self._tokens = FLOOR
        self._at = 0.0

    def take(self, share: float, now: float) -> bool:
        """One retry, if it may be; `share` is how many there are for each success."""
        tokens = self._tokens
        if self._at and tokens < FLOOR:
            tokens = min(tokens + (now - self._at) * FLOOR_PER_S, FLOOR)
        tokens = min(tokens + self.successes * share, MOST)
        self.successes, self._at = 0, now
        allowed = tokens >= 1.0
        self._tokens = tokens - 1.0 if allowed else tokens
        return allowed


class HedgeBudget:
    """How many second attempts there may be: a share of the ``requests`` that may have one."""

    def __init__(self) -> None:
        self.requests = 0
        self._tokens = 0.0

    def counts(self) -> bool:
        """One request more, which may have one: True."""
        self.requests += 1
        return True

    def take(self, share: float) -> bool:
        """One of those that are left, if there is one."""
        self._tokens = min(self._tokens + self.requests * share, MOST_HEDGES)
        self.requests = 0
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def give_back(self) -> None:
        """The one that was taken did not come about."""
        self._tokens += 1.0
