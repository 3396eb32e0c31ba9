"""A request's line. What is the same for many requests is put together once; times are in milliseconds, the cost is the
exact decimal number.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from edge._fast import Lines
from edge.clock import wall
from edge.hooks import Recorder, RequestRecord
from edge.telemetry.writer import LineWriter

__all__ = ["MAX_LINE", "RequestLine", "shortened"]

MAX_LINE = 8192
MAX_NAME = 128

_encode = msgspec.json.Encoder().encode


class Clock:
    """The time in UTC as ISO 8601 has it. The text of a second is made once."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def write(self, lines: Lines) -> None:
        """The time, to microseconds."""
        now = wall()
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.").encode()
        lines.add(self._text)
        lines.digits(int((now - second) * 1_000_000), 6)


CLOCK = Clock()


class RequestLine(Recorder):
    """Writes the lines of requests that are of the kind of `record`."""

    def __init__(self, record: RequestRecord, level: str, writer: LineWriter) -> None:
        self._writer = writer
        provider, model = record.provider, record.upstream_model
        if not provider:
            provider, model = record.stored_provider, record.stored_model
        kind = record.error_kind
        asked = {
            "requested_model": readable(record.asked),
            "alias": record.alias,
            "provider": provider,
            "model": model if provider else "",
            "attempts": record.attempts if record.attempts > 1 else 0,
            "hedge": record.hedge,
            "rescued": record.rescued,
            "stream": record.stream,
            "error": kind and (record.error_code or kind),
            "kind": kind,
        }
        end = {"cache": record.cache, "event": "request", "level": level, "timestamp": " "}
        self._endpoint = (
            b'"' + fields_of({"endpoint": record.endpoint}) + b',"status":%d,"duration_ms":' % record.status
        )
        self._key = fields_of({"key": record.key_id, "tenant": record.tenant})
        self._asked = fields_of(asked)
        self._end = fields_of(end)[: -len(' "')]
        # Where the same client asks again, one piece.
        self._peer = ""
        self._middle = self._key + self._asked

    def done(self, record: RequestRecord) -> None:
        writer = self._writer
        if not writer.full():
            self.write(record, writer.lines)
            writer.ended()

    def write(self, record: RequestRecord, lines: Lines) -> None:
        """The line, but for its end."""
        lines.add(b'{"request_id":"')
        lines.text(record.request_id)
        if record.trace_id:
            lines.add(b'","trace_id":"')
            lines.text(record.trace_id)
        lines.add(self._endpoint)
        lines.hundredths(record.duration_s * 1000)
        lines.add(b',"overhead_ms":')
        lines.hundredths(record.overhead_s * 1000)
        if record.upstream_s > 0.0:
            lines.add(b',"upstream_ms":')
            lines.hundredths(record.upstream_s * 1000)
        if record.time_to_first_content_s > 0.0:
            lines.add(b',"first_content_ms":')
            lines.hundredths(record.time_to_first_content_s * 1000)
        lines.add(b',"request_bytes":')
        lines.whole(record.request_bytes)
        lines.add(b',"response_bytes":')
        lines.whole(record.response_bytes)
        self._who(record.peer, lines)
        usage = record.usage
        if usage is not None:
            lines.add(b',"input_tokens":')
            lines.whole(usage.input)
            lines.add(b',"output_tokens":')
            lines.whole(usage.output)
            if usage.cache_read > 0:
                lines.add(b',"cached_tokens":')
                lines.whole(usage.cache_read)
        if record.cost >= 0:
            lines.add(b',"cost_usd":')
            lines.usd(record.cost)
        if record.estimated:
            lines.add(b',"estimated":true')
        if record.pii:
            lines.add(b',"pii":"')
            lines.text(record.pii)
            lines.add(b'"')
        if record.tried:
            lines.add(b',"tried":')
            lines.add(_encode(record.tried))
        if record.attributes:
            lines.add(record.attributes)
        if record.route:
            lines.add(b',"route":')
            lines.add(record.route)
        lines.add(self._end)
        CLOCK.write(lines)
        lines.add(b'Z"}')
        most = MAX_LINE
        if lines.unended() > most:
            lines.add(shortened(lines.back()))

    def _who(self, peer: str, lines: Lines) -> None:
        """Who has asked for what."""
        if peer == self._peer:
            if not self._middle:
                self._middle = self._key + fields_of({"peer": peer}) + self._asked
            lines.add(self._middle)
            return
        self._peer, self._middle = peer, b""
        lines.add(self._key)
        if peer:
            lines.add(b',"peer":"')
            lines.text(peer)
            lines.add(b'"')
        lines.add(self._asked)


def fields_of(values: Mapping[str, object]) -> bytes:
    """Those that have a value, as they stand in a line behind others."""
    said = _encode({name: value for name, value in values.items() if value})
    return b"," + said[1:-1] if len(said) > 2 else b""


def readable(name: str) -> str:
    """A name that a client chose, for a line: cut to `MAX_NAME` characters, all of which show."""
    name = name[:MAX_NAME]
    return name if name.isprintable() else ascii(name)[1:-1]


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
