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
from collections.abc import Mapping
from datetime import UTC, datetime
from time import time
from typing import Any, TextIO

import msgspec
import structlog

from edge._fast import hundredths, usd
from edge.hooks import FailedAttempt, RequestRecord
from edge.memo import Memo
from edge.telemetry.writer import LineWriter

__all__ = ["Logs", "where"]

MAX_LINE = 8192
MAX_NAME = 128
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


_encode = msgspec.json.Encoder().encode


class Logs:
    """``log`` is a structlog logger; ``request_done`` makes this a hook. ``pretty`` lines are for people."""

    def __init__(self, level: str = "info", format: str | None = None, out: TextIO | None = None) -> None:  # noqa: A002
        """`format` is json, pretty, or None for pretty on a terminal and JSON elsewhere; `out` defaults to stderr."""
        self._writer = LineWriter(out, self._tell_of_drops)
        terminal = os.isatty(2) if out is None else out.isatty()
        self._level = LEVELS[level]
        self._parts: Memo[tuple[object, ...], tuple[str, str, str]] = Memo()
        self._second, self._stamp = 0, ""
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
        level = "warning" if ours else "info"
        line = self._line(record, level)
        if self.pretty:
            fields = msgspec.json.decode(line, type=dict[str, Any])
            del fields["timestamp"], fields["level"]
            if record.cost >= 0:
                fields["cost_usd"] = usd(record.cost).decode()  # without an exponent
            (self.log.warning if ours else self.log.info)(fields.pop("event"), **fields)
        else:
            self.msg(line)

    def _line(self, record: RequestRecord, level: str) -> bytes:
        """A request's line. What is the same for many requests is put together once; times are in milliseconds, the
        cost is the exact decimal number.
        """
        asked = (
            *(record.endpoint, record.key_id, record.tenant, record.peer, record.asked, record.alias, record.provider),
            *(record.upstream_model, record.stored_provider, record.stored_model, record.attempts, record.stream),
            *(record.error_code, record.error_kind, record.cache, level),
        )
        parts = self._parts.get(asked)
        if parts is None:
            parts = self._parts.keep(asked, parts_of(record, level))
        endpoint, middle, end = parts
        usage = record.usage
        tokens = ""
        if usage is not None:
            tokens = f',"input_tokens":{usage.input},"output_tokens":{usage.output}'
            if usage.cache_read > 0:
                tokens += f',"cached_tokens":{usage.cache_read}'
        if record.cost >= 0:
            tokens += f',"cost_usd":{usd(record.cost).decode()}'
        if record.estimated:
            tokens += ',"estimated":true'
        duration, overhead = hundredths(record.duration_s * 1000), hundredths(record.overhead_s * 1000)
        line = (
            f'{{"request_id":"{record.request_id}"{endpoint},"status":{record.status}'
            f',"duration_ms":{duration.decode()},"overhead_ms":{overhead.decode()}'
            f'{middle}{tokens}{end}{self._now()}Z"}}'
        )
        return line.encode()

    def _now(self) -> str:
        """The time in UTC as ISO 8601 has it, to microseconds."""
        now = time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return self._stamp + str(1_000_000 + int((now - second) * 1_000_000))[1:]

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        fields: dict[str, Any] = {
            "request_id": attempt.request_id,
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


def parts_of(record: RequestRecord, level: str) -> tuple[str, str, str]:
    """What of a line is the same for all requests of a kind: the endpoint; who asked for what, and who answered; its
    end, up to the time.
    """
    provider, model = record.provider, record.upstream_model
    if not provider:
        provider, model = record.stored_provider, record.stored_model
    kind = record.error_kind
    middle = {
        "key": record.key_id,
        "tenant": record.tenant,
        "peer": record.peer,
        "requested_model": readable(record.asked),
        "alias": record.alias,
        "provider": provider,
        "model": model if provider else "",
        "attempts": record.attempts if record.attempts > 1 else 0,
        "stream": record.stream,
        "error": kind and (record.error_code or kind),
        "kind": kind,
    }
    end = {"cache": record.cache, "event": "request", "level": level, "timestamp": " "}
    return fields_of({"endpoint": record.endpoint}), fields_of(middle), fields_of(end)[: -len(' "')]


def fields_of(values: Mapping[str, object]) -> str:
    """Those that have a value, as they stand in a line behind others."""
    said = _encode({name: value for name, value in values.items() if value})
    return "," + said[1:-1].decode() if len(said) > 2 else ""


def readable(name: str) -> str:
    """A name that a client chose, for a line: cut to `MAX_NAME` characters, all of which show."""
    name = name[:MAX_NAME]
    return name if name.isprintable() else ascii(name)[1:-1]


def _render_json(_logger: Any, _method: str, event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)


def where(error: BaseException) -> str:
    """An exception for the log: its type and place, but not its message, which may hold what the client sent."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"
