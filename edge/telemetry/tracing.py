"""Which requests are told as traces, decided at their end: what is not kept costs a look at three fields.

Kept is what is sampled, by the caller's word or by `edge.trace_context.Sampling`; every failure that is not the
client's; and of each `WINDOW_S` the slowest request of each endpoint, streams and others apart. An `Exporter` takes it
from there, in a thread.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from edge import config
from edge.call import Call
from edge.hooks import Meter, RequestRecord
from edge.telemetry.exporting import Exporter
from edge.telemetry.logs import where
from edge.telemetry.spans import FAILURES, Kept, kept_of

__all__ = ["WINDOW_S", "Tracing"]

WINDOW_S = 10.0
TICK_S = 1.0
MOST_FAILED = 100
"""Failures that are kept in `TICK_S`: where all fail, more of them tell nothing new."""
LOSSES = ("queue_full", "not_taken")


class Exemplify(Protocol):
    def __call__(self, record: RequestRecord, trace_id: str) -> None:
        """A trace of this request is kept."""


class Tracing:
    """Is told of each finished call. All of it is the loop's but for what the exporter's thread does."""

    def __init__(self, settings: config.Tracing, place: str, meter: Meter, exemplify: Exemplify, log: Any) -> None:
        """`place` tells this process from the others of its kind."""
        self._settings = settings
        self._place = place
        self._meter = meter
        self._exemplify = exemplify
        self._log = log
        self._exporter: Exporter | None = None
        self._ending: list[Exporter] = []
        self._running = False
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = self._failed = self._left_out = 0
        self._whole: dict[str, float] = {}
        self._streams: dict[str, float] = {}
        self._slowest: dict[tuple[str, bool], tuple[Kept, RequestRecord]] = {}

    # Beginning, changing, ending.

    def start(self) -> None:
        """From here on, what is kept is exported, if the settings say where."""
        self._running = True
        self.adjust(self._settings)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def adjust(self, settings: config.Tracing) -> None:
        """Go on by other settings. Nothing waits for the exporter that has been: it sends what it has, and ends."""
        before, self._settings = self._exporter, settings
        if not self._running:
            return
        if before is not None and before.endpoint != settings.otlp_endpoint:
            before.end()
            self._ending.append(before)
            before = None
        if before is None and settings.otlp_endpoint is not None:
            before = Exporter(settings.otlp_endpoint, self._place, self._log)
            before.start()
        self._exporter = before
        if before is None:
            self._forget()

    def stop(self) -> None:
        """Send what there is, as far as that takes next to no time."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        for each in self._ending:
            self._tell_counts(each)
        exporter = self._exporter
        if exporter is not None:
            self._turn(exporter)
            exporter.end()
            exporter.wait()
            self._tell_counts(exporter)
            self._exporter = None

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        # What one that ends still sends, or loses, counts too.
        over = [each for each in self._ending if not each.at_work]
        for each in self._ending:
            self._tell_counts(each)
        self._ending = [each for each in self._ending if each not in over]
        exporter = self._exporter
        if exporter is None:
            return
        self._failed = 0
        self._ticks += 1
        if self._ticks * TICK_S >= WINDOW_S:
            self._ticks = 0
            self._turn(exporter)
        self._tell_counts(exporter)

    def _tell_counts(self, exporter: Exporter) -> None:
        exported, lost = exporter.news()
        if exported:
            self._meter.count("edge_spans_exported_total", amount=exported)
        for reason, spans in zip(LOSSES, lost, strict=True):
            if spans:
                self._meter.count("edge_telemetry_dropped_total", "traces", reason, amount=spans)
        if self._left_out:
            self._meter.count("edge_telemetry_dropped_total", "traces", "too_many", amount=self._left_out)
            self._left_out = 0

    # What is kept.

    def call_done(self, call: Call, record: RequestRecord) -> None:
        """A call is finished. Does not wait, and does not raise."""
        trace = call.trace
        if self._exporter is None or trace is None:
            return
        if trace.sampled:
            why = "sampled"
        elif record.error_kind and record.error_kind.startswith(FAILURES):
            why = "failed"
            self._failed += 1
            if self._failed > MOST_FAILED:
                self._left_out += 1 + len(call.ledger.tries)
                return
        elif self._is_slowest(record):
            why = "slow"
        else:
            return
        try:
            self._keep(call, record, why)
        except Exception as defect:  # noqa: BLE001 - of ours: it must cost a trace, and not an answer
            self._log.error("internal error", error=where(defect))

    def _is_slowest(self, record: RequestRecord) -> bool:
        """Whether nobody of its kind has waited as long in this window: for the first content of a stream, or else for
        the end.
        """
        took, slowest = record.duration_s, self._whole
        if record.stream:
            slowest = self._streams
            if record.time_to_first_content_s > 0.0:
                took = record.time_to_first_content_s
        most = slowest.get(record.endpoint)
        if most is not None and took <= most:
            return False
        slowest[record.endpoint] = took
        return True

    def _keep(self, call: Call, record: RequestRecord, why: str) -> None:
        exporter, trace = self._exporter, call.trace
        if exporter is None or trace is None:
            return
        if why == "slow":
            self._slowest[record.endpoint, record.stream] = (kept_of(call, record, trace, why), record)
        elif not exporter.full(1 + len(call.ledger.tries)):
            self._export(exporter, kept_of(call, record, trace, why), record)

    def _export(self, exporter: Exporter, kept: Kept, record: RequestRecord) -> None:
        exporter.put(kept)
        self._exemplify(record, kept.context.trace_id)

    def _turn(self, exporter: Exporter) -> None:
        """The end of a window."""
        for kept, record in self._slowest.values():
            if not exporter.full(len(kept.spans)):
                self._export(exporter, kept, record)
        self._forget()

    def _forget(self) -> None:
        self._whole.clear()
        self._streams.clear()
        self._slowest.clear()
