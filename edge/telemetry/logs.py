"""Log lines, JSON or pretty; `edge.telemetry.writer` writes them.

Nothing that serves or supervises waits for a log: what its queue cannot take is dropped and counted. Fields of a
request come from an allow-list, so no header, body, prompt or key can get into a line.

A request's line is written past structlog (`edge.telemetry.lines`), whose processors cost a hundred times as much; as
JSON it looks the same, for people it is shorter (`edge.telemetry.pretty`). Everything else is structlog's.
"""

from __future__ import annotations

import logging
import os
import random
import traceback
from typing import Any, TextIO

import msgspec
import structlog

from edge.hooks import FailedAttempt, Recorder, RequestRecord
from edge.telemetry.lines import MAX_LINE, RequestLine, shortened
from edge.telemetry.pretty import PrettyLine, colourful
from edge.telemetry.writer import LineWriter

__all__ = ["Logs", "where"]

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Logs:
    """``log`` is a structlog logger; this is an `edge.hooks.Observer`. ``pretty`` lines are for people."""

    def __init__(
        self,
        level: str = "info",
        format: str | None = None,  # noqa: A002
        out: TextIO | None = None,
        sample: float = 1.0,
    ) -> None:
        """`format` is json, pretty, or None for pretty on a terminal and JSON elsewhere; `out` defaults to stderr;
        `sample` is the share of the requests that went well which have a line.
        """
        self._writer = LineWriter(out, self._tell_of_drops)
        terminal = os.isatty(2) if out is None else out.isatty()
        self._level = LEVELS[level]
        self._sample = sample
        self.pretty = format == "pretty" or (format is None and terminal)
        self._colours = colourful(terminal)
        processors: list[Any] = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=self._colours) if self.pretty else _render_json,
        ]
        self.log = structlog.wrap_logger(
            self, processors=processors, wrapper_class=structlog.make_filtering_bound_logger(self._level)
        )

    # structlog's side: each level is a method of the logger that it wraps.

    def msg(self, line: str | bytes) -> None:
        data = line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace")
        if len(data) > MAX_LINE:
            data = data[:MAX_LINE] if self.pretty else shortened(data)
        self._writer.put(data)

    debug = info = warning = error = critical = msg

    def start(self) -> None:
        """From here on, lines are written by a thread. Called again after a fork, which takes no thread along."""
        self._writer.start()

    def stop(self) -> None:
        """Write what is queued, as far as somebody takes it, then write directly again."""
        self._writer.stop()

    @property
    def dropped(self) -> int:
        """Lines that were lost in this process, because the queue was full or could not be written."""
        return self._writer.dropped

    @property
    def queued(self) -> int:
        """Bytes of lines that are still to be written."""
        return self._writer.queued

    def _tell_of_drops(self, count: int) -> None:
        self.log.warning("log lines were dropped", count=count)

    def recorder(self, record: RequestRecord) -> Recorder | None:
        kind = record.error_kind
        ours = kind and not kind.startswith("client_")
        if self._level > logging.INFO and (record.status < 500 or not ours or self._level > logging.WARNING):
            return None
        line: Recorder
        if self.pretty:
            line = PrettyLine(self.msg, self._colours)
        else:
            line = RequestLine(record, "warning" if ours else "info", self._writer)
        return line if kind or self._sample >= 1.0 else Sampled(line, self._sample)

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        fields: dict[str, Any] = {
            "request_id": attempt.request_id,
            "trace_id": attempt.trace_id or None,
            "provider": attempt.provider,
            "model": attempt.upstream_model,
            "status": attempt.status or None,
            "error": attempt.error_code or None,
            "kind": attempt.error_kind,
            "waited_ms": round(attempt.waited_s * 1000, 2),
            "provider_said": attempt.said or None,
            "next": f"{attempt.next_provider}/{attempt.next_model}" if attempt.next_provider else None,
        }
        self.log.warning("attempt failed", **{name: value for name, value in fields.items() if value is not None})


class Sampled(Recorder):
    """Tells of a share of the requests."""

    def __init__(self, line: Recorder, share: float) -> None:
        self._line = line
        self._share = share

    def done(self, record: RequestRecord) -> None:
        if random.random() < self._share:
            self._line.done(record)


def _render_json(_logger: Any, _method: str, event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)


def where(error: BaseException) -> str:
    """An exception for the log: its type and place, but not its message, which may hold what the client sent."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"
