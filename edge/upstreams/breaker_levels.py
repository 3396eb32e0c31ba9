"""What the metrics say of the upstreams that a configuration names."""

from __future__ import annotations

from collections.abc import Iterable

from edge.hooks import Meter

__all__ = ["TAKES", "BreakerLevels"]

TAKES = ("closed", "half_open")
"""The states in which an upstream is sent requests."""
Seen = dict[tuple[str, str], tuple[str, int]]
"""By provider and model: the state, and how often the breaker has opened."""


class BreakerLevels:
    """Tells `meter` what has changed."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._seen: Seen = {}
        self._up: dict[str, bool] = {}

    def tell(self, seen: Seen, providers: Iterable[str]) -> None:
        """What there is now. A provider of which no upstream is named is up."""
        level = self._meter.level
        up: dict[str, bool] = {}
        for (provider, _), (state, _) in seen.items():
            up[provider] = up.get(provider, False) or state in TAKES
        for provider in providers:
            up.setdefault(provider, True)
        if seen != self._seen:
            for upstream, (state, opened) in seen.items():
                self._tell_of(upstream, state, opened, *self._seen.get(upstream, ("", 0)))
            for upstream, (state, _) in self._seen.items():
                if upstream not in seen:
                    level("edge_circuit_state", 0.0, *upstream, state)
                    level("edge_upstream_unavailable", 0.0, *upstream)
            self._seen = seen
        if up != self._up:
            for provider in {*up, *self._up}:
                level("edge_provider_up", float(up.get(provider, False)), provider)
            self._up = up

    def _tell_of(self, upstream: tuple[str, str], state: str, opened: int, before: str, openings: int) -> None:
        level, count = self._meter.level, self._meter.count
        if state != before:
            if before:
                level("edge_circuit_state", 0.0, *upstream, before)
            level("edge_circuit_state", 1.0, *upstream, state)
            level("edge_upstream_unavailable", float(state not in TAKES), *upstream)
        if not before:
            return
        if opened > openings:
            count("edge_circuit_transitions_total", *upstream, "open", amount=float(opened - openings))
        if state not in (before, "open"):
            count("edge_circuit_transitions_total", *upstream, state)
