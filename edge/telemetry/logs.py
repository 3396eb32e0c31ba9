"""Log lines, JSON or pretty: a bounded queue and a thread that writes.

The event loop never waits for a log: what the queue cannot take is dropped and counted. Fields of a request come from
an allow-list, so no header, body, prompt or key can get into a line.

A request's line is encoded here, past structlog, whose processors cost ten times as much; it looks the same. Everything
else, and pretty lines, are structlog's.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from edge.accounting import usd
from edge.hooks import RequestRecord

__all__ = ["Logs", "where"]

QUEUE = 10_000
MAX_LINE = 8192
BATCH_S = 0.01
"""The thread lets so much time pass between the first line and writing: waking it for each line costs the event loop
more than the line."""
PIPE_BUF = 4096
"""Several workers write to one pipe: what is at most this long is written in one piece (POSIX asks for 512; Linux has
4096). A longer line has a write of its own."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Line(msgspec.Struct, gc=False):
    """A request's line. Fields in the order of the line; what is unset is left out. Times in milliseconds, the cost as
    the exact decimal number.
    """

    request_id: str
    endpoint: str
    status: int
    duration_ms: float
    overhead_ms: float
    key: str | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    attempts: int | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    error: str | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    input_tokens: int | UnsetType = UNSET
    output_tokens: int | UnsetType = UNSET
    cost_usd: msgspec.Raw | UnsetType = UNSET
    estimated: bool | UnsetType = UNSET
    cache: str | UnsetType = UNSET
    event: str = "request"
    level: str | UnsetType = UNSET
    timestamp: datetime | UnsetType = UNSET


class Logs:
    """``log`` is a structlog logger; ``request_done`` makes this a hook."""

    def __init__(self, level: str = "info", format: str | None = None, out: TextIO | None = None) -> None:  # noqa: A002
        """`format` is json, pretty, or None for pretty on a terminal and JSON elsewhere; `out` defaults to stderr."""
        self._out = sys.stderr if out is None else out
        self._queue: deque[bytes] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self.dropped = 0
        self._thread: threading.Thread | None = None
        self._level = LEVELS[level]
        self._pretty = format == "pretty" or (format is None and self._out.isatty())
        self._encode = msgspec.json.Encoder().encode
        processors: list[Any] = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=self._out.isatty()) if self._pretty else _render_json,
        ]
        self.log = structlog.wrap_logger(
            self, processors=processors, wrapper_class=structlog.make_filtering_bound_logger(self._level)
        )

    # structlog's side: each level is a method of the logger that it wraps.

    def msg(self, line: str | bytes) -> None:
        data = line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace")
        data = data[:MAX_LINE]
        if self._thread is None:
            self._write(data)
        elif len(self._queue) >= QUEUE:
            self.dropped += 1
        else:
            self._queue.append(data)
            if not self._wake.is_set():
                self._wake.set()

    debug = info = warning = error = critical = msg

    def start(self) -> None:
        """From here on, lines are written by a thread. Called after any fork."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="edge-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then write directly again."""
        thread = self._thread
        if thread is None:
            return
        self._stopping = True
        self._wake.set()
        thread.join(timeout=2)
        if thread.is_alive():
            return  # nobody takes our lines: the thread is a daemon, and ends with the process
        self._thread = None
        for piece in self._pieces():
            self._write(piece)
        if self.dropped:
            self.log.warning("log lines were dropped", count=self.dropped)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            if not self._stopping:
                time.sleep(BATCH_S)
            # Cleared before the queue is emptied: a line that comes in between is written now, and wakes us in vain.
            self._wake.clear()
            for piece in self._pieces():
                self._write(piece)

    def _pieces(self) -> Iterator[bytes]:
        """What is queued, as many lines at a time as a pipe takes in one piece."""
        lines: list[bytes] = []
        size = 0
        queue = self._queue
        while queue:
            line = queue.popleft()
            if lines and size + len(line) >= PIPE_BUF:
                yield b"\n".join(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line) + 1
        if lines:
            yield b"\n".join(lines)

    def _write(self, data: bytes) -> None:
        try:
            self._out.write(data.decode("utf-8", "replace") + "\n")
            self._out.flush()
        except (OSError, ValueError):
            # A full disk or a closed pipe must not stop the edge.
            self.dropped += data.count(b"\n") + 1

    def request_done(self, record: RequestRecord) -> None:
        kind = record.error_kind
        ours = kind and not kind.startswith("client_")
        if self._level > logging.INFO and (record.status < 500 or not ours or self._level > logging.WARNING):
            return
        line = line_of(record)
        if self._pretty:
            fields = {name: value for name, value in msgspec.structs.asdict(line).items() if value is not UNSET}
            if record.cost >= 0:
                fields["cost_usd"] = usd(record.cost).decode()
            (self.log.warning if ours else self.log.info)(fields.pop("event"), **fields)
            return
        line.level = "warning" if ours else "info"
        line.timestamp = datetime.now(UTC)
        self.msg(self._encode(line))


def line_of(record: RequestRecord) -> Line:
    line = Line(
        record.request_id, record.endpoint, record.status, hundredths(record.duration_s), hundredths(record.overhead_s)
    )
    if record.key_id:
        line.key = record.key_id
    if record.provider:
        line.provider = record.provider
        line.model = record.upstream_model
    if record.attempts > 1:
        line.attempts = record.attempts
    if record.stream:
        line.stream = True
    if record.error_kind:
        line.error = record.error_code or record.error_kind
        line.kind = record.error_kind
    if record.usage is not None:
        line.input_tokens = record.usage.input
        line.output_tokens = record.usage.output
    if record.cost >= 0:
        line.cost_usd = msgspec.Raw(usd(record.cost))
    if record.estimated:
        line.estimated = True
    if record.cache:
        line.cache = record.cache
    return line


def hundredths(seconds: float) -> float:
    """Milliseconds, rounded to hundredths; ``round`` costs several times as much."""
    return int(seconds * 100_000 + 0.5) / 100


def _render_json(_logger: Any, _method: str, event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)


def where(error: BaseException) -> str:
    """An exception for the log: its type and place, but not its message, which may hold what the client sent."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"
