"""Prometheus metrics. Every metric's name is in this file.

The values live in slots of memory that all workers share (`edge/_fast/_slots.py`), so any of them can tell the sum.
prometheus_client writes the exposition and does not count.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from mmap import mmap
from typing import Any, NamedTuple

import msgspec
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from edge import __version__
from edge._fast import COMPILED, COUNTER, GAUGE_MAX, HISTOGRAM, Slots, SlotWriter
from edge.hooks import RequestRecord

__all__ = ["CONTENT_TYPE", "Metrics", "shared_slots"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OVERHEADS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05)
TOKENS = ("input", "output", "cache_read", "cache_write", "reasoning")

REMEMBERED = 10_000
"""Bundles of bound series. There are as many as the configuration has models, providers and routes, times the statuses;
what reloads leave behind is forgotten with the rest when there are this many."""
PATIENCE = 1000
"""Attempts to read, a millisecond apart. Folding a region takes a few milliseconds at most."""


class Family(NamedTuple):
    """A metric. Its place in `FAMILIES` is its number in the slots."""

    kind: int
    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()


FAMILIES = (
    Family(
        COUNTER,
        "edge_requests_total",
        "Requests by what became of them.",
        ("endpoint", "model", "provider", "code", "stream"),
    ),
    Family(
        HISTOGRAM,
        "edge_request_duration_seconds",
        "From the end of a request's headers to the end of its answer.",
        ("endpoint", "stream", "outcome"),
        DURATIONS,
    ),
    Family(HISTOGRAM, "edge_overhead_seconds", "Request time minus upstream time.", ("endpoint",), OVERHEADS),
    Family(
        HISTOGRAM,
        "edge_upstream_duration_seconds",
        "Time spent waiting for a provider.",
        ("provider", "model"),
        DURATIONS,
    ),
    Family(COUNTER, "edge_tokens_total", "Tokens as the providers counted them.", ("provider", "model", "type")),
    Family(
        COUNTER,
        "edge_errors_total",
        "Failed requests by kind; the prefix says whose fault.",
        ("provider", "model", "error_type"),
    ),
    Family(
        COUNTER,
        "edge_translation_warnings_total",
        "Answers in which a translation met what it could not make sense of, by what that was.",
        ("provider", "model", "warning"),
    ),
    Family(
        GAUGE_MAX,
        "edge_build_info",
        "Always 1; the labels say what is running.",
        ("version", "python", "compiled"),
    ),
)
REQUESTS, DURATION, OVERHEAD, UPSTREAM, TOKEN, ERRORS, WARNINGS, BUILD = range(len(FAMILIES))
DROPPED = "edge_metric_series_dropped_total"
DROPPED_HELP = "Times that a label set found no room and was counted as _other."

Add = Callable[[float], None]
Tokens = tuple[Add, Add, Add, Add, Add]
Bundle = tuple[Add, Add, Add, Add | None, Add | None, Tokens | None]


def shared_slots(processes: int) -> Slots:
    """Memory for so many processes at a time; those that are to share it are forked after this."""
    return Slots(mmap(-1, Slots.size(processes)), processes)


class Metrics:
    """Records the requests of one process, and renders those of all.

    `slots` is the shared memory and `region` this process's own in it; by default it shares with nobody. `alone` says
    that no other process serves: then figures of the process itself (memory, CPU, collector) are rendered too. With
    several, they would be another process's at each scrape.
    """

    def __init__(self, slots: Slots | None = None, region: int = 1, *, alone: bool = True) -> None:
        self._slots = shared_slots(1) if slots is None else slots
        self._writer = SlotWriter(self._slots, region)
        for number, family in enumerate(FAMILIES):
            self._writer.define(number, family.kind, family.bounds)
        self._bundles: dict[tuple[Any, ...], Bundle] = {}
        self._registry = CollectorRegistry()
        self._registry.register(_Exposition(self._slots))
        if alone:
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=self._registry)
        build = (__version__, platform.python_version(), "true" if COMPILED else "false")
        self._writer.counter(BUILD, encode(*build)).set(1.0)

    def request_done(self, record: RequestRecord) -> None:
        key = (record.endpoint, record.model, record.provider, record.status, record.stream, record.error_kind)
        count, duration, overhead, upstream, error, tokens = self._bundles.get(key) or self._bind(key, record)
        count(1.0)
        duration(record.duration_s)
        overhead(record.overhead_s)
        if upstream is not None:
            upstream(record.upstream_s)
        if error is not None:
            error(1.0)
        for warning in record.warnings:
            self._writer.counter(WARNINGS, encode(record.provider, record.model, warning)).add(1.0)
        usage = record.usage
        if usage is not None:
            if tokens is None:
                tokens = self._bind_tokens(key, record)
            # A count that the provider did not give is -1, and adds nothing.
            tokens[0](usage.input)
            tokens[1](usage.output)
            tokens[2](usage.cache_read)
            tokens[3](usage.cache_write)
            tokens[4](usage.reasoning)

    def _bind(self, key: tuple[Any, ...], record: RequestRecord) -> Bundle:
        """The series of such requests. Finding them by their labels costs more than counting, so they are kept."""
        writer = self._writer
        endpoint, model, provider, kind = record.endpoint, record.model, record.provider, record.error_kind
        stream = "true" if record.stream else "false"
        requests = writer.counter(REQUESTS, encode(endpoint, model, provider, str(record.status), stream))
        bundle = (
            requests.add,
            writer.histogram(DURATION, encode(endpoint, stream, record.outcome)).observe,
            writer.histogram(OVERHEAD, encode(endpoint)).observe,
            writer.histogram(UPSTREAM, encode(provider, model)).observe if provider else None,
            writer.counter(ERRORS, encode(provider, model, kind)).add if kind else None,
            None,
        )
        if len(self._bundles) >= REMEMBERED:
            self._bundles.clear()
        self._bundles[key] = bundle
        return bundle

    def _bind_tokens(self, key: tuple[Any, ...], record: RequestRecord) -> Tokens:
        """The series of the tokens, added to their bundle when there is something to count."""
        labels = (encode(record.provider, record.model, kind) for kind in TOKENS)
        a, b, c, d, e = (self._writer.counter(TOKEN, each).add for each in labels)
        self._bundles[key] = (*self._bundles[key][:5], (a, b, c, d, e))
        return a, b, c, d, e

    def render(self) -> bytes:
        """The exposition of all processes that share the slots, ended ones included."""
        return generate_latest(self._registry)


def encode(*labels: str) -> bytes:
    """The values of a series' labels, as the slots keep them."""
    return msgspec.json.encode(labels)


class _Exposition:
    """A prometheus_client collector: what the slots say, in its words."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def collect(self) -> Iterator[Metric]:
        series, dropped = self._read()
        found: dict[int, list[tuple[list[str], list[float]]]] = {number: [] for number in range(len(FAMILIES))}
        for number, _, labels, values in series:
            if labels is not None:
                found[number].append((msgspec.json.decode(labels, type=list[str]), values))
            elif any(values):
                found[number].append((["_other"] * len(FAMILIES[number].labels), values))
        for number, family in enumerate(FAMILIES):
            yield exposed(family, sorted(found[number]))
        yield CounterMetricFamily(DROPPED, DROPPED_HELP, value=dropped)

    def _read(self) -> tuple[list[tuple[int, int, bytes | None, list[float]]], float]:
        for _ in range(PATIENCE):
            read = self._slots.read()
            if read is not None:
                return read
            time.sleep(0.001)
        raise TimeoutError("the metrics are being folded, and that does not end")


def exposed(family: Family, series: list[tuple[list[str], list[float]]]) -> Metric:
    """One family with its samples."""
    if family.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        bounds = [*map(floatToGoString, family.bounds), "+Inf"]
        for labels, values in series:
            cumulative = list(zip(bounds, accumulate(values[:-1]), strict=True))
            histogram.add_metric(labels, cumulative, values[-1])
        return histogram
    if family.kind == COUNTER:
        counter = CounterMetricFamily(family.name, family.help, labels=family.labels)
        for labels, values in series:
            counter.add_metric(labels, values[0])
        return counter
    gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, values in series:
        gauge.add_metric(labels, values[0])
    return gauge
