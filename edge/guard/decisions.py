"""What limits decide, counted."""

from __future__ import annotations

from edge._fast import Series
from edge.hooks import Meter

__all__ = ["Decisions"]

DECISIONS = "edge_limit_decisions_total"


class Decisions:
    """Of the limit that `limit` names."""

    def __init__(self, meter: Meter, limit: str) -> None:
        self._meter = meter
        self._limit = limit
        self._admitted: Series | None = None

    def admitted(self) -> None:
        """As nearly all are. The series is there from the first one on."""
        series = self._admitted
        if series is None:
            series = self._admitted = self._meter.bind(DECISIONS, self._limit, "admitted")
        series.tell(1.0)

    def other(self, decision: str) -> None:
        """Any other `decision`."""
        self._meter.count(DECISIONS, self._limit, decision)
