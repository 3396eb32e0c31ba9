"""Log lines: structlog, JSON or pretty, a bounded queue and a thread that writes.

The event loop never waits for a log: what the queue cannot take is dropped and counted. Fields of a request come from
an allow-list, so no header, body, prompt or key can get into a line.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from typing import Any, TextIO

import msgspec
import structlog

from edge.hooks import RequestRecord

__all__ = ["Logs"]

QUEUE = 10_000
MAX_LINE = 8192
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Logs:
    """``log`` is a structlog logger; ``request_done`` makes this a hook."""

    def __init__(self, level: str = "info", format: str | None = None, out: TextIO | None = None) -> None:  # noqa: A002
        """`format` is json, pretty, or None for pretty on a terminal and JSON elsewhere; `out` defaults to stderr."""
        self._out = sys.stderr if out is None else out
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUE)
        self.dropped = 0
        self._thread: threading.Thread | None = None
        self._level = LEVELS[level]
        pretty = format == "pretty" or (format is None and self._out.isatty())
        processors: list[Any] = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=self._out.isatty()) if pretty else _render_json,
        ]
        self.log = structlog.wrap_logger(
            self, processors=processors, wrapper_class=structlog.make_filtering_bound_logger(self._level)
        )

    # structlog's side: each level is a method of the logger that it wraps.

    def msg(self, line: str | bytes) -> None:
        data = line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace")
        if self._thread is None:
            self._write(data)
            return
        try:
            self._queue.put_nowait(data)
        except queue.Full:
            self.dropped += 1

    debug = info = warning = error = critical = msg

    def start(self) -> None:
        """From here on, lines are written by a thread. Called after any fork."""
        self._thread = threading.Thread(target=self._run, name="edge-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then write directly again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                return  # nobody takes our lines: the thread is a daemon, and ends with the process
            thread.join(timeout=2)
            if self.dropped:
                self.log.warning("log lines were dropped", count=self.dropped)

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            self._out.write(data[:MAX_LINE].decode("utf-8", "replace") + "\n")
            self._out.flush()
        except (OSError, ValueError):
            # A full disk or a closed pipe must not stop the edge.
            self.dropped += 1

    def request_done(self, record: RequestRecord) -> None:
        if self._level > logging.INFO and record.status < 500:
            return
        fields: dict[str, Any] = {
            "request_id": record.request_id,
            "endpoint": record.endpoint,
            "status": record.status,
            "duration_ms": round(record.duration_s * 1000, 2),
            "overhead_ms": round(record.overhead_s * 1000, 2),
        }
        if record.key_id:
            fields["key"] = record.key_id
        if record.provider:
            fields["provider"] = record.provider
            fields["model"] = record.upstream_model
        if record.attempts > 1:
            fields["attempts"] = record.attempts
        if record.stream:
            fields["stream"] = True
        if record.error_kind:
            fields["error"] = record.error_code or record.error_kind
            fields["kind"] = record.error_kind
        if record.usage is not None:
            fields["input_tokens"] = record.usage.input
            fields["output_tokens"] = record.usage.output
        if record.error_kind and not record.error_kind.startswith("client_"):
            self.log.warning("request", **fields)
        else:
            self.log.info("request", **fields)


def _render_json(_logger: Any, _method: str, event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
