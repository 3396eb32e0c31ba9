"""What the page shows: figures of all workers, and the upstreams, requests and configuration behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from edge import __version__
from edge._fast import COMPILED
from edge.config import Config, Secret
from edge.server.compose import Edge
from edge.telemetry.families import FAMILIES, NUMBERS
from edge.telemetry.recent import Finished
from edge.upstreams.health import UpstreamHealth

__all__ = ["Changes", "Live", "changed"]

PERIOD_S = 1.0
TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("edge_requests_total", ("model", "tenant", "code")),
    "tokens": ("edge_tokens_total", ("model", "tenant", "type")),
    "cost": ("edge_cost_usd_total", ("model", "tenant")),
    "saved": ("edge_saved_cost_usd_total", ("model", "tenant", "tier")),
    "errors": ("edge_errors_total", ("error_type",)),
    "limits": ("edge_limit_decisions_total", ("limit", "decision")),
    "cache": ("edge_cache_requests_total", ("tier", "result")),
    "joined": ("edge_cache_joined_total", ()),
    "entries": ("edge_cache_entries", ("tier",)),
    "cache_bytes": ("edge_cache_size_bytes", ("tier",)),
    "circuits": ("edge_circuit_state", ("provider", "model", "state")),
    "workers": ("edge_workers", ("state",)),
    "reloaded": ("edge_config_last_reload_successful", ()),
    "in_flight": ("edge_requests_in_flight", ()),
    "connections": ("edge_connections", ()),
}
"""Rows of the values of these labels, and the sum over all others."""
HISTOGRAMS = {
    "duration": "edge_request_duration_seconds",
    "first": "edge_upstream_time_to_first_chunk_seconds",
    "overhead": "edge_overhead_seconds",
}
"""Counts of the buckets, over all labels."""


class Changes(msgspec.Struct):
    """The last reload: when it came into force (0 before there was one), and the settings that it changed."""

    serving: float
    at: float = 0.0
    changed: list[str] = []


class Buckets(msgspec.Struct):
    """``counts`` has one more than ``bounds``: what is above the last."""

    bounds: tuple[float, ...]
    counts: list[float]


Row = list[str | float]


class Figures(msgspec.Struct):
    """Sums of all workers since the edge began, at a time of the wall clock. A row is the values of the labels that
    `TABLES` names, and the sum over all others.
    """

    at: float
    tables: dict[str, list[Row]]
    histograms: dict[str, Buckets]


class State(msgspec.Struct):
    """``GET /admin/api/state``. ``upstreams`` are as this worker sees them, ``requests_done`` those of all, and
    ``unpriced`` how many answers of an upstream ("provider/model") had no price, as the workers that run have seen.
    """

    version: str
    build: str
    figures: Figures
    upstreams: list[UpstreamHealth]
    configuration: Changes
    unpriced: dict[str, int]
    requests_done: list[Finished]


class Front(Protocol):
    """Who serves the page: `edge.server.asgi.EdgeApplication`."""

    changes: Changes

    @property
    def draining(self) -> bool: ...


class Live:
    """Makes one picture a second, however many look. A thread makes it: that takes some milliseconds."""

    def __init__(self, edge: Edge, front: Front) -> None:
        self._edge = edge
        self._front = front
        self._made_at = -PERIOD_S
        self._figures = Figures(0.0, {}, {})
        self._making = asyncio.Lock()

    async def state(self) -> State:
        async with self._making:
            now = time.monotonic()
            if now - self._made_at >= PERIOD_S / 2:
                self._figures = await asyncio.to_thread(self._figured)
                self._made_at = now
        edge = self._edge
        build = "compiled" if COMPILED else "pure"
        done, unpriced = edge.recent.look(), edge.recent.unpriced()
        return State(__version__, build, self._figures, edge.health.upstreams(), self._front.changes, unpriced, done)

    async def events(self) -> AsyncIterator[bytes]:
        """The picture again and again, as server-sent events, until the edge ends."""
        told: set[tuple[str, float]] = set()
        while not self._front.draining:
            state = await self.state()
            done = {(each.request_id, each.at) for each in state.requests_done}
            state.requests_done = [each for each in state.requests_done if (each.request_id, each.at) not in told]
            told = done
            yield b"data: %b\n\n" % msgspec.json.encode(state)
            await asyncio.sleep(PERIOD_S)

    def _figured(self) -> Figures:
        series: dict[str, list[tuple[list[str], list[float]]]] = {}
        wanted = [metric for metric, _ in TABLES.values()] + list(HISTOGRAMS.values())
        for name, labels, values in self._edge.metrics.series(*wanted):
            series.setdefault(name, []).append((labels, values))
        figures = Figures(time.time(), {}, {})
        for title, (metric, kept) in TABLES.items():
            places = [FAMILIES[NUMBERS[metric]].labels.index(label) for label in kept]
            sums: dict[tuple[str, ...], float] = {}
            for labels, values in series.get(metric, ()):
                row = tuple(labels[place] for place in places)
                sums[row] = sums.get(row, 0.0) + values[0]
            figures.tables[title] = [[*row, value] for row, value in sorted(sums.items())]
        for title, metric in HISTOGRAMS.items():
            bounds = FAMILIES[NUMBERS[metric]].bounds
            counts = [0.0] * (len(bounds) + 1)
            for _, values in series.get(metric, ()):
                counts = [one + other for one, other in zip(counts, values[:-1], strict=True)]
            figures.histograms[title] = Buckets(bounds, counts)
        return figures


def changed(old: Config, new: Config) -> list[str]:
    """The settings in which two configurations differ, as paths. Values are not told: secrets are among them."""
    return sorted(_differing("", plain(old), plain(new)))


def plain(settings: Config) -> Any:
    return msgspec.to_builtins(settings, enc_hook=Secret.reveal)


def _differing(path: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [path]
    found = []
    for key in {*old, *new}:
        inner = f"{path}.{key}" if path else str(key)
        if key not in old or key not in new:
            found.append(f"{inner} ({'removed' if key in old else 'added'})")
        else:
            found += _differing(inner, old[key], new[key])
    return found
