"""Log lines, JSON or pretty; `edge.telemetry.writer` writes them.

Nothing that serves or supervises waits for a log: what its queue cannot take is dropped and counted. Fields of a
request come from an allow-list, so no header, body, prompt or key can get into a line.

A request's line is encoded here, past structlog, whose processors cost ten times as much; it looks the same. Everything
else, and pretty lines, are structlog's.
"""

from __future__ import annotations

import logging
import os
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from edge.hooks import FailedAttempt, RequestRecord
from edge.money.accounting import usd
from edge.telemetry.writer import LineWriter

__all__ = ["Logs", "where"]

MAX_LINE = 8192
MAX_NAME = 128
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


_encode = msgspec.json.Encoder().encode


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
    tenant: str | UnsetType = UNSET
    peer: str | UnsetType = UNSET
    requested_model: str | UnsetType = UNSET
    alias: str | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    attempts: int | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    error: str | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    input_tokens: int | UnsetType = UNSET
    output_tokens: int | UnsetType = UNSET
    cached_tokens: int | UnsetType = UNSET
    cost_usd: msgspec.Raw | UnsetType = UNSET
    estimated: bool | UnsetType = UNSET
    cache: str | UnsetType = UNSET
    event: str = "request"
    level: str | UnsetType = UNSET
    timestamp: datetime | UnsetType = UNSET


class Logs:
    """``log`` is a structlog logger; ``request_done`` makes this a hook. ``pretty`` lines are for people."""

    def __init__(self, level: str = "info", format: str | None = None, out: TextIO | None = None) -> None:  # noqa: A002
        """`format` is json, pretty, or None for pretty on a terminal and JSON elsewhere; `out` defaults to stderr."""
        self._writer = LineWriter(out, self._tell_of_drops)
        terminal = os.isatty(2) if out is None else out.isatty()
        self._level = LEVELS[level]
        self.pretty = format == "pretty" or (format is None and terminal)
        processors: list[Any] = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=terminal) if self.pretty else _render_json,
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

    def _tell_of_drops(self, count: int) -> None:
        self.log.warning("log lines were dropped", count=count)

    def request_done(self, record: RequestRecord) -> None:
        kind = record.error_kind
        ours = kind and not kind.startswith("client_")
        if self._level > logging.INFO and (record.status < 500 or not ours or self._level > logging.WARNING):
            return
        line = line_of(record)
        if self.pretty:
            fields = {name: value for name, value in msgspec.structs.asdict(line).items() if value is not UNSET}
            if record.cost >= 0:
                fields["cost_usd"] = usd(record.cost).decode()
            (self.log.warning if ours else self.log.info)(fields.pop("event"), **fields)
            return
        line.level = "warning" if ours else "info"
        line.timestamp = datetime.now(UTC)
        self.msg(_encode(line))

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        fields: dict[str, Any] = {
            "request_id": attempt.request_id,
            "provider": attempt.provider,
            "model": attempt.upstream_model,
            "status": attempt.status or None,
            "error": attempt.error_code or None,
            "kind": attempt.error_kind,
            "waited_ms": hundredths(attempt.waited_s),
            "provider_said": attempt.said or None,
            "next": f"{attempt.next_provider}/{attempt.next_model}" if attempt.next_provider else None,
        }
        self.log.warning("attempt failed", **{name: value for name, value in fields.items() if value is not None})


def shortened(line: bytes) -> bytes:
    """A JSON line of more than `MAX_LINE` bytes as one that is not longer: its longest values are cut, what is no text
    to that of its beginning, and ``cut`` names them.
    """
    fields: dict[str, Any] = msgspec.json.decode(line)
    cut: list[str] = []
    while len(line) > MAX_LINE and len(cut) < len(fields) - bool(cut):
        sizes = {name: len(_encode(value)) for name, value in fields.items() if name != "cut" and name not in cut}
        longest = max(sizes, key=sizes.__getitem__)
        value = fields[longest]
        cut.append(longest)
        fields["cut"] = cut
        room = MAX_LINE - len(_encode({**fields, longest: ""}))
        fields[longest] = _beginning(value if isinstance(value, str) else _encode(value).decode(), room)
        line = _encode(fields)
    return line


def _beginning(text: str, room: int) -> str:
    """As much of a text as takes `room` bytes of JSON between its quotes."""
    text = text[: max(room, 0)]
    while (size := len(_encode(text)) - 2) > room and text:
        text = text[: min(len(text) - 1, len(text) * max(room, 0) // size)]
    return text


def line_of(record: RequestRecord) -> Line:
    line = Line(
        record.request_id, record.endpoint, record.status, hundredths(record.duration_s), hundredths(record.overhead_s)
    )
    if record.key_id:
        line.key = record.key_id
    if record.tenant:
        line.tenant = record.tenant
    if record.peer:
        line.peer = record.peer
    if record.asked:
        line.requested_model = readable(record.asked)
    if record.alias:
        line.alias = record.alias
    if record.provider:
        line.provider = record.provider
        line.model = record.upstream_model
    elif record.stored_provider:
        line.provider = record.stored_provider
        line.model = record.stored_model
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
        if record.usage.cache_read > 0:
            line.cached_tokens = record.usage.cache_read
    if record.cost >= 0:
        line.cost_usd = msgspec.Raw(usd(record.cost))
    if record.estimated:
        line.estimated = True
    if record.cache:
        line.cache = record.cache
    return line


def readable(name: str) -> str:
    """A name that a client chose, for a line: cut to `MAX_NAME` characters, all of which show."""
    name = name[:MAX_NAME]
    return name if name.isprintable() else ascii(name)[1:-1]


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
