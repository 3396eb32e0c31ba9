"""Prometheus metrics. Every metric's name is in this file.

The values live in slots of memory that all workers share (`edge/_fast/_slots.py`), so any of them can tell the sum.
prometheus_client writes the exposition and does not count.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from mmap import mmap
from typing import NamedTuple

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from edge import __version__
from edge._fast import COMPILED, COUNTER, GAUGE, GAUGE_MAX, HISTOGRAM, Counter, Histogram, Slots, SlotWriter
from edge.hooks import Add, FailedAttempt, Recorder, RequestRecord
from edge.telemetry.process import PERIOD_S, Process

__all__ = ["CONTENT_TYPE", "LAYOUT", "PERIOD_S", "Metrics", "Saved", "Saving", "Savings", "shared_slots"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OVERHEADS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05)
INPUTS = frozenset({"input", "cache_read", "cache_write"})
DECIMALS = 12
"""Of US dollars: costs are whole numbers of 1e-12, and what a binary sum has beyond that is its rounding."""

REMEMBERED = 10_000
"""Bound series. There are as many as the configuration has models, providers and routes, times the statuses; what
reloads leave behind is forgotten with the rest when there are this many."""
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
        ("endpoint", "model", "provider", "code", "stream", "tenant"),
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
    Family(
        COUNTER,
        "edge_tokens_total",
        "Tokens that providers charge for; estimated where they gave no count.",
        ("provider", "model", "type", "tenant"),
    ),
    Family(
        COUNTER,
        "edge_errors_total",
        "Failed requests, and failed attempts of others, by kind; the prefix says whose fault.",
        ("provider", "model", "error_type"),
    ),
    Family(
        COUNTER,
        "edge_translation_warnings_total",
        "Answers in which a translation met what it could not make sense of, by what that was.",
        ("provider", "model", "warning"),
    ),
    Family(
        COUNTER,
        "edge_cache_requests_total",
        "Answers looked for in the cache. Every result but hit and miss is trouble, and served as a miss.",
        ("tier", "result"),
    ),
    Family(COUNTER, "edge_cache_writes_total", "Answers to be stored, by what became of that.", ("tier", "result")),
    Family(
        HISTOGRAM,
        "edge_cache_operation_duration_seconds",
        "Time spent with Redis, trouble included.",
        ("tier", "operation"),
        OVERHEADS,
    ),
    Family(GAUGE, "edge_cache_entries", "Answers in memory.", ("tier",)),
    Family(GAUGE, "edge_cache_size_bytes", "Weight of the answers in memory.", ("tier",)),
    Family(COUNTER, "edge_cache_evictions_total", "Answers that had to go, by why.", ("tier", "reason")),
    Family(COUNTER, "edge_cache_joined_total", "Requests that were answered by another's upstream call.", ()),
    Family(
        COUNTER,
        "edge_limit_decisions_total",
        "Requests that a limit decided on; full: too many are limited at once to be counted apart.",
        ("limit", "decision"),
    ),
    Family(
        COUNTER,
        "edge_pii_findings_total",
        "Personal data and secrets found, by what is done about them.",
        ("kind", "mode"),
    ),
    Family(COUNTER, "edge_cost_usd_total", "What the providers' answers cost.", ("provider", "model", "tenant")),
    Family(
        COUNTER,
        "edge_unpriced_requests_total",
        "Answers of models that no price is known for.",
        ("provider",),
    ),
    Family(
        COUNTER,
        "edge_estimated_requests_total",
        "Answers of which the tokens, and so the cost, are estimates.",
        ("provider",),
    ),
    Family(
        COUNTER,
        "edge_saved_tokens_total",
        "Tokens that were not asked of a provider, by how.",
        ("model", "tenant", "tier", "type"),
    ),
    Family(
        COUNTER,
        "edge_saved_cost_usd_total",
        "What these tokens would have cost.",
        ("model", "tenant", "tier"),
    ),
    Family(
        COUNTER,
        "edge_upstream_requests_total",
        "Requests to providers by the status of the answer, or the error's code where none came.",
        ("provider", "model", "code"),
    ),
    Family(
        COUNTER,
        "edge_failovers_total",
        "Failed attempts after which another upstream was asked, by kind.",
        ("from_provider", "to_provider", "reason"),
    ),
    Family(
        GAUGE,
        "edge_upstream_unavailable",
        "Workers that send no requests to an upstream of the configuration: its breaker is open, or it is drained.",
        ("provider", "model"),
    ),
    Family(GAUGE, "edge_requests_in_flight", "Requests that were let in and have not ended.", ()),
    Family(GAUGE, "edge_redis_ready", "Workers that can use Redis.", ()),
    Family(COUNTER, "process_cpu_seconds_total", "CPU time that a worker has spent.", ("worker",)),
    Family(GAUGE, "process_resident_memory_bytes", "A worker's memory in RAM, what it shares included.", ("worker",)),
    Family(GAUGE, "process_virtual_memory_bytes", "A worker's address space.", ("worker",)),
    Family(GAUGE, "process_open_fds", "Files and sockets that a worker has open.", ("worker",)),
    Family(GAUGE, "process_max_fds", "How many it may have open.", ("worker",)),
    Family(GAUGE, "process_start_time_seconds", "When a worker began, in seconds of the wall clock.", ("worker",)),
    Family(GAUGE, "edge_connections", "Connections of clients that are open.", ()),
    Family(COUNTER, "edge_connections_shed_total", "Connections given up at their bound, by how.", ("action",)),
    Family(COUNTER, "edge_log_lines_dropped_total", "Log lines of workers that nobody took in time.", ()),
    Family(
        GAUGE_MAX,
        "edge_build_info",
        "Always 1; the labels say what is running.",
        ("version", "python", "compiled"),
    ),
)
NUMBERS = {family.name: number for number, family in enumerate(FAMILIES)}
REQUESTS, DURATION, OVERHEAD, UPSTREAM, _, ERRORS = range(6)
SAVED_TOKENS, SAVED_COST = "edge_saved_tokens_total", "edge_saved_cost_usd_total"
DROPPED = "edge_metric_series_dropped_total"
DROPPED_HELP = "Times that a label set found no room and was counted as _other."

LAYOUT = f"1/{hashlib.sha256(repr([(*each[:2], *each[3:]) for each in FAMILIES]).encode()).hexdigest()[:16]}"
"""Of what stands in the slots: the number changes with `edge._fast._slots`, the rest with the families."""


def shared_slots(processes: int, memory: mmap | None = None) -> Slots:
    """For so many processes at a time; those that are to share it are forked after this. `memory` is of the size that
    `Slots.size` says, zeros or what a program with the same `LAYOUT` has counted.
    """
    return Slots(mmap(-1, Slots.size(processes)) if memory is None else memory, processes)


class Saved(msgspec.Struct):
    """Tokens that were not asked of a provider, and what they would have cost. ``input_tokens`` are all of them, read
    from or written to a provider's own cache or not.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


class Saving(msgspec.Struct):
    """What was saved for one tenant's requests of one model by one tier of the cache; the rest is as in `Saved`."""

    model: str
    tenant: str
    tier: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


class Savings(msgspec.Struct):
    """``GET /admin/api/savings``, counted since ``since``."""

    since: datetime
    models: list[Saving]
    total: Saved


class Metrics:
    """Records the requests of one process, and renders those of all.

    `slots` is the shared memory and `region` this process's own in it; by default it shares with nobody. `since` is
    when the first of these processes began to count, in seconds of the wall clock; by default this is now.
    """

    def __init__(self, slots: Slots | None = None, region: int = 1, *, since: float | None = None) -> None:
        self._slots = shared_slots(1) if slots is None else slots
        self._writer = SlotWriter(self._slots, region)
        for number, family in enumerate(FAMILIES):
            self._writer.define(number, family.kind, family.bounds)
        self._series: dict[tuple[str, ...], Add] = {}
        self._since = time.time() if since is None else since
        self._exposition = _Exposition(self._slots)
        self._registry = CollectorRegistry()
        self._registry.register(self._exposition)
        build = (__version__, platform.python_version(), "true" if COMPILED else "false")
        self._writer.counter(NUMBERS["edge_build_info"], encode(*build)).set(1.0)
        self._process = Process(self, str(region - 1))

    def recorder(self, record: RequestRecord) -> Recorder:
        """The series of such requests. Finding them by their labels costs more than counting."""
        writer = self._writer
        endpoint, model, provider, kind = record.endpoint, record.model, record.provider, record.error_kind
        stream = "true" if record.stream else "false"
        labels = (endpoint, model, provider, str(record.status), stream, record.tenant)
        return Tally(
            self,
            writer.counter(REQUESTS, encode(*labels)),
            writer.histogram(DURATION, encode(endpoint, stream, record.outcome)),
            writer.histogram(OVERHEAD, encode(endpoint)),
            writer.histogram(UPSTREAM, encode(provider, model)) if provider else None,
            writer.counter(ERRORS, encode(provider, model, kind)) if kind else None,
        )

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        if not attempt.final:
            self.count("edge_errors_total", attempt.provider, attempt.model, attempt.error_kind)
        if attempt.next_provider:
            self.count("edge_failovers_total", attempt.provider, attempt.next_provider, attempt.error_kind)

    def count(self, metric: str, *labels: str, amount: float = 1.0) -> None:
        self._bound(metric, labels)(amount)

    def bind(self, metric: str, *labels: str) -> Add:
        return self._bound(metric, labels)

    def observe(self, metric: str, value: float, *labels: str) -> None:
        self._bound(metric, labels)(value)

    def level(self, metric: str, value: float, *labels: str) -> None:
        self._bound(metric, labels)(value)

    def _bound(self, metric: str, labels: tuple[str, ...]) -> Add:
        """What adds to, or sets, one series."""
        key = (metric, *labels)
        bound = self._series.get(key)
        if bound is None:
            number = NUMBERS[metric]
            family = FAMILIES[number]
            assert len(labels) == len(family.labels), metric  # noqa: S101 - the caller's mistake, seen by any test
            if family.kind == HISTOGRAM:
                bound = self._writer.histogram(number, encode(*labels)).observe
            else:
                counter = self._writer.counter(number, encode(*labels))
                bound = counter.set if family.kind == GAUGE else counter.add
            if len(self._series) >= REMEMBERED:
                self._series.clear()
            self._series[key] = bound
        return bound

    def look(self) -> None:
        """Note what this process takes of the machine: to be called every `PERIOD_S`."""
        self._process.look()

    def render(self) -> bytes:
        """The exposition of all processes that share the slots, ended ones included."""
        self.look()
        return generate_latest(self._registry)

    def savings(self) -> Savings:
        """What the cache has saved so far, all processes that share the slots together, ended ones included."""
        rows: dict[tuple[str, str, str], Saving] = {}
        for name, labels, value in self._exposition.counters(SAVED_TOKENS, SAVED_COST):
            model, tenant, tier = who = (labels[0], labels[1], labels[2])
            row = rows.setdefault(who, Saving(model, tenant, tier))
            if name == SAVED_COST:
                row.cost_usd += value
            elif labels[3] == "output":
                row.output_tokens += int(value)
            elif labels[3] in INPUTS:
                row.input_tokens += int(value)
        total = Saved()
        for row in rows.values():
            row.cost_usd = round(row.cost_usd, DECIMALS)
            total.input_tokens += row.input_tokens
            total.output_tokens += row.output_tokens
            total.cost_usd += row.cost_usd
        total.cost_usd = round(total.cost_usd, DECIMALS)
        since = datetime.fromtimestamp(self._since, UTC)
        return Savings(since, [rows[who] for who in sorted(rows)], total)


class Tally(Recorder):
    """Counts requests of one kind."""

    def __init__(
        self,
        metrics: Metrics,
        requests: Counter,
        duration: Histogram,
        overhead: Histogram,
        upstream: Histogram | None,
        errors: Counter | None,
    ) -> None:
        self._metrics = metrics
        self._requests = requests
        self._duration = duration
        self._overhead = overhead
        self._upstream = upstream
        self._errors = errors

    def done(self, record: RequestRecord) -> None:
        self._requests.add(1.0)
        self._duration.observe(record.duration_s)
        self._overhead.observe(record.overhead_s)
        if self._upstream is not None:
            self._upstream.observe(record.upstream_s)
        if self._errors is not None:
            self._errors.add(1.0)
        if record.warnings:
            for warning in record.warnings:
                self._metrics.count("edge_translation_warnings_total", record.provider, record.model, warning)


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

    def counters(self, *names: str) -> Iterator[tuple[str, list[str], float]]:
        """Each series of some counters as of one moment: the counter's name, the labels, the value."""
        wanted = {NUMBERS[name]: name for name in names}
        for number, _, labels, values in self._read()[0]:
            if number not in wanted:
                continue
            if labels is not None:
                yield wanted[number], msgspec.json.decode(labels, type=list[str]), values[0]
            elif values[0]:
                yield wanted[number], ["_other"] * len(FAMILIES[number].labels), values[0]

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
