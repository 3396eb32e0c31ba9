"""Prometheus metrics: how they are counted, and how they are told.

The values live in slots of memory that all workers share (`edge/_fast/_slots.py`), so any of them can tell the sum.
"""

from __future__ import annotations

import platform
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from mmap import mmap

import msgspec

from edge import __version__
from edge._fast import COMPILED, HISTOGRAM, Counter, Histogram, Series, Slots, SlotWriter
from edge.hooks import FailedAttempt, Recorder, RequestRecord
from edge.telemetry.exposition import OTHER, Exemplar, Exposition
from edge.telemetry.families import FAMILIES, LAYOUT, NUMBERS
from edge.telemetry.genai import operation
from edge.telemetry.process import PERIOD_S, Process

__all__ = ["LAYOUT", "PERIOD_S", "Metrics", "Saved", "Saving", "Savings", "shared_slots"]

INPUTS = frozenset({"input", "cache_read", "cache_write"})
DECIMALS = 12
"""Of US dollars: costs are whole numbers of 1e-12, and what a binary sum has beyond that is its rounding."""

REMEMBERED = 10_000
"""Bound series. There are as many as the configuration has models, providers and routes, times the statuses; what
reloads leave behind is forgotten with the rest when there are this many."""
TENANT_AT = [family.labels.index("tenant") if "tenant" in family.labels else -1 for family in FAMILIES]
MOST_TENANTS = 200
"""Tenants of which the configuration does not know, with labels of their own: ten label sets of each are as many as a
metric may have."""
SAVED_TOKENS, SAVED_COST = "edge_saved_tokens_total", "edge_saved_cost_usd_total"


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
    when the first of these processes began to count, in seconds of the wall clock; by default this is now. `vendors`
    says of a provider what the conventions for generative AI call it; None leaves out their metrics. `knows_tenant`
    says whether the configuration bounds how many such tenants there are; None, that it does for all.
    """

    def __init__(
        self,
        slots: Slots | None = None,
        region: int = 1,
        *,
        since: float | None = None,
        vendors: Callable[[str], str] | None = None,
        knows_tenant: Callable[[str], bool] | None = None,
    ) -> None:
        self._slots = shared_slots(1) if slots is None else slots
        self._writer = SlotWriter(self._slots, region)
        for number, family in enumerate(FAMILIES):
            self._writer.define(number, family.kind, family.bounds)
        self._series: dict[tuple[str, ...], Series] = {}
        self._since = time.time() if since is None else since
        self._vendors = vendors
        self._knows_tenant = knows_tenant
        self._tenants: set[str] = set()
        self._exposition = Exposition(self._slots)
        self._exemplars: dict[tuple[int, tuple[str, ...], int], Exemplar] = {}
        build = (__version__, platform.python_version(), "true" if COMPILED else "false")
        self._writer.counter(NUMBERS["edge_build_info"], encode(*build)).tell(1.0)
        self.level("edge_start_time_seconds", self._since)
        self._process = Process(self, str(region - 1))

    def recorder(self, record: RequestRecord) -> Recorder:
        """The series of such requests. Finding them by their labels costs more than counting."""
        endpoint, model, provider, stream = record.endpoint, record.model, record.provider, record.stream
        streams = "true" if stream else "false"
        return Tally(
            self,
            self._counter("edge_requests_total", endpoint, model, provider, str(record.status), streams, record.tenant),
            self._histogram("edge_request_duration_seconds", endpoint, streams, record.outcome),
            self._histogram("edge_overhead_seconds", endpoint, record.cache),
            self._histogram("edge_upstream_duration_seconds", provider, model) if provider else None,
            self._histogram("edge_request_size_bytes", endpoint),
            self._histogram("edge_response_size_bytes", endpoint),
            self._failures(record),
            self._genai(record),
        )

    def _failures(self, record: RequestRecord) -> tuple[Counter, ...]:
        """What counts such requests besides, which went wrong."""
        kind, endpoint = record.error_kind, record.endpoint
        found = []
        if kind:
            found.append(self._counter("edge_errors_total", record.provider, record.model, kind))
        if kind == "client_cancelled":
            phase = "answer" if record.status < 400 else "waiting" if record.attempts else "request"
            found.append(self._counter("edge_client_disconnects_total", endpoint, phase))
        elif record.error_code and not record.attempts:
            found.append(self._counter("edge_requests_rejected_total", endpoint, record.error_code))
        if kind == "client_auth":
            found.append(self._counter("edge_auth_failures_total", record.error_code))
        return tuple(found)

    def _genai(self, record: RequestRecord) -> GenAi | None:
        work, provider = operation(record.endpoint), record.provider
        if self._vendors is None or not work or not provider:
            return None
        labels = (work, self._vendors(provider), record.model)
        tokens = "gen_ai_client_token_usage"
        return GenAi(
            self._histogram("gen_ai_client_operation_duration_seconds", *labels, record.error_kind),
            self._histogram("gen_ai_server_request_duration_seconds", *labels, record.error_kind),
            self._histogram("gen_ai_server_time_to_first_token_seconds", *labels) if record.stream else None,
            self._histogram(tokens, *labels, "input"),
            self._histogram(tokens, *labels, "output"),
        )

    def _counter(self, metric: str, *labels: str) -> Counter:
        number = NUMBERS[metric]
        return self._writer.counter(number, self._told(number, labels))

    def _histogram(self, metric: str, *labels: str) -> Histogram:
        return self._writer.histogram(NUMBERS[metric], encode(*labels))

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        if not attempt.final:
            self.count("edge_errors_total", attempt.provider, attempt.model, attempt.error_kind)
        provider, following, kind = attempt.provider, attempt.next_provider, attempt.error_kind
        if following == provider and attempt.next_model == attempt.upstream_model:
            self.count("edge_retries_total", provider, kind)
        elif following:
            self.count("edge_failovers_total", provider, following, kind)

    def count(self, metric: str, *labels: str, amount: float = 1.0) -> None:
        self._bound(metric, labels).tell(amount)

    def bind(self, metric: str, *labels: str) -> Series:
        return self._bound(metric, labels)

    def observe(self, metric: str, value: float, *labels: str) -> None:
        self._bound(metric, labels).tell(value)

    def level(self, metric: str, value: float, *labels: str) -> None:
        self._bound(metric, labels).tell(value)

    def _bound(self, metric: str, labels: tuple[str, ...]) -> Series:
        key = (metric, *labels)
        bound = self._series.get(key)
        if bound is None:
            number = NUMBERS[metric]
            family = FAMILIES[number]
            assert len(labels) == len(family.labels), metric  # noqa: S101 - the caller's mistake, seen by any test
            if family.kind == HISTOGRAM:
                bound = self._writer.histogram(number, encode(*labels))
            else:
                bound = self._writer.counter(number, self._told(number, labels))
            if len(self._series) >= REMEMBERED:
                self._series.clear()
            self._series[key] = bound
        return bound

    def _told(self, number: int, labels: tuple[str, ...]) -> bytes:
        """A label set as it is kept. Tenants that tokens name have labels of their own as long as they are few: more
        would take the room of all others.
        """
        at = TENANT_AT[number]
        if at >= 0 and not self._has_label(labels[at]):
            labels = (*labels[:at], OTHER, *labels[at + 1 :])
        return encode(*labels)

    def _has_label(self, tenant: str) -> bool:
        if self._knows_tenant is None or not tenant or tenant in self._tenants or self._knows_tenant(tenant):
            return True
        if len(self._tenants) >= MOST_TENANTS:
            return False
        self._tenants.add(tenant)
        return True

    def look(self) -> None:
        """Note what this process takes of the machine: to be called every `PERIOD_S`."""
        self._process.look()

    def exemplify(self, record: RequestRecord, trace_id: str) -> None:
        """A trace of this request is kept: its buckets name it. Of each bucket the latest trace counts, and each
        process tells its own.
        """
        streams = "true" if record.stream else "false"
        duration = (record.endpoint, streams, record.outcome)
        for metric, labels, value in (
            ("edge_request_duration_seconds", duration, record.duration_s),
            ("edge_overhead_seconds", (record.endpoint, record.cache), record.overhead_s),
        ):
            number = NUMBERS[metric]
            bucket = bisect_left(FAMILIES[number].bounds, value)
            self._exemplars[number, labels, bucket] = Exemplar(trace_id, value, time.time())

    def render(self) -> bytes:
        """What all processes that share the slots have counted, ended ones included, in Prometheus' text format. This
        takes milliseconds, and a thread may do it.
        """
        return self._exposition.text()

    def render_open(self) -> bytes:
        """The same in OpenMetrics, with the exemplars of this process."""
        return self._exposition.open(self._exemplars)

    def series(self, *names: str) -> Iterator[tuple[str, list[str], list[float]]]:
        """As `Exposition.series`."""
        return self._exposition.series(*names)

    def savings(self) -> Savings:
        """What the cache has saved so far, all processes that share the slots together, ended ones included."""
        rows: dict[tuple[str, str, str], Saving] = {}
        for name, labels, (value,) in self._exposition.series(SAVED_TOKENS, SAVED_COST):
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
        sent: Histogram,
        returned: Histogram,
        failures: tuple[Counter, ...],
        genai: GenAi | None,
    ) -> None:
        self._metrics = metrics
        self._requests = requests
        self._duration = duration
        self._overhead = overhead
        self._upstream = upstream
        self._sent = sent
        self._returned = returned
        self._failures = failures
        self._genai = genai

    def done(self, record: RequestRecord) -> None:
        self._requests.tell(1.0)
        self._duration.tell(record.duration_s)
        self._overhead.tell(record.overhead_s)
        self._sent.tell(record.request_bytes)
        self._returned.tell(record.response_bytes)
        if self._upstream is not None:
            self._upstream.tell(record.upstream_s)
        if self._genai is not None:
            self._genai.done(record)
        for failure in self._failures:
            failure.tell(1.0)
        if record.warnings:
            for warning in record.warnings:
                self._metrics.count("edge_translation_warnings_total", record.provider, record.model, warning)


class GenAi(Recorder):
    """The metrics of the conventions for generative AI, for requests of one kind for which a provider was asked."""

    def __init__(
        self, waited: Histogram, served: Histogram, first: Histogram | None, read: Histogram, written: Histogram
    ) -> None:
        self._waited = waited
        self._served = served
        self._first = first
        self._read = read
        self._written = written

    def done(self, record: RequestRecord) -> None:
        self._waited.tell(record.upstream_s)
        self._served.tell(record.duration_s)
        if self._first is not None and record.time_to_first_content_s > 0.0:
            self._first.tell(record.time_to_first_content_s)
        usage = record.usage
        if usage is not None:
            # A provider's own cache is no other kind of token there: what came from it is input.
            if usage.input >= 0:
                self._read.tell(usage.input + max(usage.cache_read, 0) + max(usage.cache_write, 0))
            if usage.output >= 0:
                self._written.tell(usage.output)


def encode(*labels: str) -> bytes:
    """The values of a series' labels, as the slots keep them."""
    return msgspec.json.encode(labels)
