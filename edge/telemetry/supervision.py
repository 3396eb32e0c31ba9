"""What the supervisor counts: its workers, and the configurations that were read."""

from __future__ import annotations

import time

from edge._fast import Counter, Slots, SlotWriter
from edge.telemetry.families import FAMILIES, NUMBERS
from edge.telemetry.metrics import encode

__all__ = ["Supervision"]


class Supervision:
    """Writes the last `region`, which is the supervisor's own. What a program before this one left there is kept."""

    def __init__(self, slots: Slots, region: int) -> None:
        slots.fold(region)
        self._writer = SlotWriter(slots, region)
        for name in (
            "edge_workers",
            "edge_worker_restarts_total",
            "edge_config_last_reload_successful",
            "edge_config_last_reload_success_timestamp_seconds",
        ):
            self._writer.define(NUMBERS[name], FAMILIES[NUMBERS[name]].kind)
        self._counts: dict[str, int] = {}
        self.reloaded(True)

    def _of(self, metric: str, *labels: str) -> Counter:
        return self._writer.counter(NUMBERS[metric], encode(*labels))

    def workers(self, counts: dict[str, int]) -> None:
        if counts != self._counts:
            self._counts = counts
            for state, count in counts.items():
                self._of("edge_workers", state).tell(count)

    def replaced(self, reason: str) -> None:
        self._of("edge_worker_restarts_total", reason).tell(1.0)

    def reloaded(self, succeeded: bool) -> None:
        self._of("edge_config_last_reload_successful").tell(float(succeeded))
        if succeeded:
            self._of("edge_config_last_reload_success_timestamp_seconds").tell(time.time())
