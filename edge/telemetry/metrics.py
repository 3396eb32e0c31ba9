"""Prometheus metrics. Every metric's name is in this file.

With one worker the values live in this process. With several, ``PROMETHEUS_MULTIPROC_DIR`` names a directory they share
(prometheus_client's multiprocess mode), set before this module is imported.
"""

from __future__ import annotations

import os
import platform
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
    multiprocess,
)

from edge import __version__
from edge._fast import COMPILED
from edge.hooks import RequestRecord

__all__ = ["CONTENT_TYPE", "Metrics", "forget_worker"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TOKENS = ("input", "output", "cache_read", "cache_write", "reasoning")
Bound = tuple[Counter, Histogram, Histogram, Histogram | None]
OVERHEADS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05)


class Metrics:
    """Records requests, and renders what was recorded."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._shared = bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        self._registry = registry
        self._bound: dict[tuple[Any, ...], Bound] = {}
        self._bound_tokens: dict[tuple[str, str, str], Counter] = {}
        self.requests = Counter(
            "edge_requests_total",
            "Requests by what became of them.",
            ["endpoint", "model", "provider", "code", "stream"],
            registry=registry,
        )
        self.duration = Histogram(
            "edge_request_duration_seconds",
            "From the end of a request's headers to the end of its answer.",
            ["endpoint", "stream", "outcome"],
            buckets=DURATIONS,
            registry=registry,
        )
        self.overhead = Histogram(
            "edge_overhead_seconds",
            "Request time minus upstream time.",
            ["endpoint"],
            buckets=OVERHEADS,
            registry=registry,
        )
        self.upstream = Histogram(
            "edge_upstream_duration_seconds",
            "Time spent waiting for a provider.",
            ["provider", "model"],
            buckets=DURATIONS,
            registry=registry,
        )
        self.tokens = Counter(
            "edge_tokens_total",
            "Tokens as the providers counted them.",
            ["provider", "model", "type"],
            registry=registry,
        )
        self.errors = Counter(
            "edge_errors_total",
            "Failed requests by kind; the prefix says whose fault.",
            ["provider", "model", "error_type"],
            registry=registry,
        )
        build = Gauge(
            "edge_build_info",
            "Always 1; the labels say what is running.",
            ["version", "python", "compiled"],
            registry=registry,
            multiprocess_mode="max",
        )
        build.labels(__version__, platform.python_version(), "true" if COMPILED else "false").set(1)
        if not self._shared:
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=registry)

    def request_done(self, record: RequestRecord) -> None:
        stream = "true" if record.stream else "false"
        key = (record.endpoint, record.model, record.provider, record.status, stream, record.outcome)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bound[key] = self._bind(record, stream)
        requests, duration, overhead, upstream = bound
        requests.inc()
        duration.observe(record.duration_s)
        overhead.observe(record.overhead_s)
        if upstream is not None:
            upstream.observe(record.upstream_s)
        if record.error_kind:
            self.errors.labels(record.provider, record.model, record.error_kind).inc()
        usage = record.usage
        if usage is not None:
            for kind in TOKENS:
                count = getattr(usage, kind)
                if count > 0:
                    self._token_counter(record.provider, record.model, kind).inc(count)

    def _bind(self, record: RequestRecord, stream: str) -> Bound:
        """The series of a request. Finding them by their labels costs more than counting, so they are remembered; there
        are as many as the configuration has models, providers and routes, times the statuses.
        """
        code = str(record.status)
        upstream = self.upstream.labels(record.provider, record.model) if record.provider else None
        return (
            self.requests.labels(record.endpoint, record.model, record.provider, code, stream),
            self.duration.labels(record.endpoint, stream, record.outcome),
            self.overhead.labels(record.endpoint),
            upstream,
        )

    def _token_counter(self, provider: str, model: str, kind: str) -> Counter:
        key = (provider, model, kind)
        counter = self._bound_tokens.get(key)
        if counter is None:
            counter = self._bound_tokens[key] = self.tokens.labels(*key)
        return counter

    def render(self) -> bytes:
        """The exposition of all workers, or of the only one."""
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def forget_worker(pid: int, folder: str) -> None:
    """A worker has ended: its live gauges go, its counters stay in the sum."""
    multiprocess.mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
