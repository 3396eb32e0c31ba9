"""Traces on their way to a collector: a bounded queue and a thread, so that no request waits for either.

What finds no room is dropped and counted, and so is what the collector has not taken within its time, whether it is
gone, slow or stands still. OpenTelemetry, which takes a tenth of a second to import, is imported by the thread, or
before the workers are forked, where traces are on from the start.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Protocol

from edge.telemetry.logs import where
from edge.telemetry.spans import Kept

__all__ = ["MAX_QUEUED", "Collector", "Exporter"]

MAX_QUEUED = 8 << 20
"""Bytes that wait for the thread (`edge.telemetry.spans.Kept.size`), of one process: at two spans a trace, about 1600
traces."""
MAX_BATCH = 256
"""Traces in one message."""
WAIT_S = 1.0
"""A trace waits for so long for others to be sent with it."""
TIMEOUT_S = 5.0
"""For one message, with all that is tried to send it."""
FLUSH_S = 1.0
"""For what is left at the end."""


class Collector(Protocol):
    """Where traces are sent: `edge.telemetry.otlp.OtlpCollector`."""

    def send(self, batch: list[Kept]) -> bool:
        """Whether it took them. Waits; what is wrong with a collector does not raise."""
        ...

    def close(self) -> None:
        """Called by another thread: what is being sent is not tried again."""
        ...


class Exporter:
    """One process's, to one endpoint. `put`, `full` and `news` are for the thread that made it."""

    def __init__(self, endpoint: str, place: str, log: Any, collector: Collector | None = None) -> None:
        """`place` is as in `edge.telemetry.tracing.Tracing`; `collector` is made of both where there is none."""
        self.endpoint = endpoint
        self._place = place
        self._log = log
        self._collector = collector
        self._queue: deque[Kept] = deque()
        self._queued = self._taken = 0
        self._refused = self._lost = self._exported = 0
        self._told = (0, 0, 0)
        self._wake = threading.Event()
        self._ending = False
        self._well = True
        self._thread = threading.Thread(target=self._run, name="edge-traces", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def full(self, spans: int) -> bool:
        """Whether there is no room for a trace of so many spans, which are counted as dropped."""
        if self._queued - self._taken < MAX_QUEUED:
            return False
        self._refused += spans
        return True

    def put(self, kept: Kept) -> None:
        self._queued += kept.size
        self._queue.append(kept)
        if len(self._queue) == MAX_BATCH:
            self._wake.set()

    def news(self) -> tuple[int, tuple[int, int]]:
        """Spans since this was asked last: exported; dropped, since the queue was full, and since the collector did not
        take them.
        """
        before = self._told
        self._told = (self._exported, self._refused, self._lost)
        return self._told[0] - before[0], (self._told[1] - before[1], self._told[2] - before[2])

    @property
    def at_work(self) -> bool:
        """Whether something may still become of what it was given."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Send what there is, once, and end. Does not wait."""
        self._ending = True
        self._wake.set()

    def wait(self) -> None:
        """For the end, which a collector that does not answer cannot draw out."""
        self._thread.join(FLUSH_S)
        if self._thread.is_alive():  # a daemon, which ends with the process
            if self._collector is not None:
                self._collector.close()
            self._lost += sum(len(kept.spans) for kept in list(self._queue))

    # The thread.

    def _run(self) -> None:
        try:
            if self._collector is None:
                from edge.telemetry.otlp import OtlpCollector

                self._collector = OtlpCollector(self.endpoint, self._place, TIMEOUT_S)
            while not self._ending or self._queue:
                # What came while a message was on its way may fill the next ones.
                if not self._ending and len(self._queue) < MAX_BATCH:
                    self._wake.wait(WAIT_S)
                self._wake.clear()
                if self._queue:
                    self._send(self._collector)
            self._collector.close()
        except Exception as defect:  # noqa: BLE001 - of ours: no thread but this one may end with it
            self._log.error("traces are exported no more", error=where(defect))

    def _send(self, collector: Collector) -> None:
        queue = self._queue
        batch = [queue.popleft() for _ in range(min(len(queue), MAX_BATCH))]
        spans = sum(len(kept.spans) for kept in batch)
        begun = time.monotonic()
        try:
            taken = collector.send(batch)
        except Exception as defect:  # noqa: BLE001 - of ours: it must cost these traces, and not those after them
            self._log.error("internal error", error=where(defect))
            taken = False
        self._taken += sum(kept.size for kept in batch)
        if taken:
            self._exported += spans
        else:
            self._lost += spans
        if taken != self._well:
            self._well = taken
            if taken:
                self._log.info("traces are exported again", endpoint=self.endpoint)
            else:
                waited = round((time.monotonic() - begun) * 1000)
                self._log.warning("traces cannot be exported", endpoint=self.endpoint, waited_ms=waited)
        if self._ending and not taken:
            self._lost += sum(len(kept.spans) for kept in queue)
            queue.clear()
