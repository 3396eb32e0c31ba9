"""uvicorn's HTTP protocol on httptools, with the guard that it lacks.

httptools has no limits and uvicorn no deadline for what a client sends; both leave the Host header unchecked. Beyond
that, of uvicorn 0.54 with httptools:

* a request that asks for an upgrade loses its body, and a body in the next segment is executed as a request: its head
  is read again without the wish, by a fresh parser;
* the answer to a malformed pipelined request overtakes the answers before it: here it waits for its turn;
* with a pipelined request waiting nothing is read, so that nobody sees the client leave: here up to `MAX_PIPELINED`
  bytes are read, and a lost connection is told to every request on it;
* trailers arrive as headers, after the headers: they are ignored.
"""

from __future__ import annotations

import re
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edge.dialects import anthropic, openai
from edge.errors import EdgeError, HeaderTooLarge, InvalidHTTP, RequestTimeout, TargetTooLong

__all__ = ["SWEEP_S", "EdgeProtocol"]

MAX_HEAD = 32768
MAX_HEADERS = 100
MAX_TARGET = 8192
MAX_PIPELINED = 65536
FIRST_BYTE_S = 10.0
HEAD_S = 10.0
BODY_IDLE_S = 15.0
BODY_RATE = 16384
"""Bytes a second that a body must bring on average, beyond the first `BODY_IDLE_S`."""
KEEP_ALIVE_S = 75.0
WRITE_STALL_S = 30.0
SWEEP_S = 0.25
NEVER = float("inf")

HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(:[0-9]{1,5})?")
"""RFC 9110, section 7.2: a host and a port, and nothing that could be read as either twice."""
TARGET = re.compile(rb"(/|https?://)[\x21-\x7e]*")
PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 414: b"URI Too Long", 431: b"Request Header Fields Too Large"}


class EdgeProtocol(HttpToolsProtocol):
    """One client connection. ``sweep(now)`` is called every `SWEEP_S` seconds and ends what is over its time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._running: Any = None
        self._refusal: bytes | None = None
        self._head_size = 0
        self._in_head = False
        self._upgrading = False
        self._begun_at = 0.0
        self._body_size = 0
        self._pipelined = 0
        self._stalled_at = NEVER
        self.deadline = NEVER

    # asyncio's side.

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.deadline = self.loop.time() + FIRST_BYTE_S

    def connection_lost(self, exc: Exception | None) -> None:
        for cycle in (self._running, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self.transport.is_closing():
            return
        if self._busy() and self._running is not self.cycle:
            self._pipelined += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_again(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, EdgeError) else InvalidHTTP())
        else:
            self._clock()
        if self._pipelined > MAX_PIPELINED:
            self.flow.pause_reading()

    def _read_again(self, rest: bytes) -> None:
        """Read a head that asked for an upgrade once more, without that wish, and what follows it."""
        if self.parser.get_method() == b"CONNECT":
            self._refuse(InvalidHTTP("This is no forward proxy.", status=405))
            return
        lines = [b"%b %b HTTP/1.1" % (self.parser.get_method(), self.url)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in (b"upgrade", b"http2-settings"))
            if name not in (b"upgrade", b"http2-settings") and (value or name != b"connection"):
                lines.append(b"%b: %b" % (name, value))
        self._upgrading = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_size = 0
        self._body_size = 0
        self._in_head = True
        self._begun_at = self.loop.time()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_TARGET:
            raise TargetTooLong(f"The request's target is longer than {MAX_TARGET} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer
        self._head_size += len(name) + len(value) + 4
        if self._head_size > MAX_HEAD or len(self.headers) >= MAX_HEADERS:
            raise HeaderTooLarge(f"The headers are more than {MAX_HEADERS}, or larger than {MAX_HEAD} bytes.")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.should_upgrade():
            self._upgrading = True
            return
        if not TARGET.fullmatch(self.url):
            raise InvalidHTTP("The request's target has a form that is not answered.")
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise InvalidHTTP("HTTP/1.0 and HTTP/1.1 are answered.")
        hosts = [value for name, value in self.headers if name == b"host"]
        many = len(hosts) > 1 or (not hosts and version == "1.1")
        if many or (hosts and not HOST.fullmatch(hosts[0])):
            raise InvalidHTTP("A request names exactly one host.")
        super().on_headers_complete()
        if self.pipeline and self._pipelined <= MAX_PIPELINED:
            # Read on, to see the client leave.
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        if self._upgrading:
            return
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        super().on_message_complete()

    # uvicorn's side.

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._pipelined = 0
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._write_refusal(self._refusal)
        self._clock()

    # Deadlines and refusals.

    def _busy(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _clock(self) -> None:
        """Set the deadline of what is awaited from the client."""
        now = self.loop.time()
        if self._in_head:
            self.deadline = self._begun_at + HEAD_S
        elif self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self.deadline = min(now + BODY_IDLE_S, self._begun_at + BODY_IDLE_S + self._body_size / BODY_RATE)
        elif self._busy():
            self.deadline = NEVER
        elif self.cycle is not None:
            self.deadline = now + KEEP_ALIVE_S

    def sweep(self, now: float) -> None:
        if self.flow.write_paused:
            if self._stalled_at == NEVER:
                self._stalled_at = now
            elif now - self._stalled_at > WRITE_STALL_S:
                self.transport.abort()
            return
        self._stalled_at = NEVER
        if now < self.deadline or self._refusal is not None:
            return
        # A body that is not read because the application does not take it is not the client's fault.
        if self.flow.read_paused:
            return
        reading_body = self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete
        if self._in_head or reading_body:
            self._refuse(RequestTimeout())
        else:
            self.transport.close()

    def _refuse(self, error: EdgeError) -> None:
        """Answer with an error, after the answers that are due before it, and close."""
        of_anthropic = any(name == b"anthropic-version" for name, _ in self.headers or ())
        if of_anthropic or self.url.startswith(b"/anthropic"):
            body = anthropic.error_body(error, "")
        else:
            body = openai.error_body(error)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self._refusal = head % (error.status, PHRASES.get(error.status, b"Refused"), len(body)) + body
        if not self._busy() and not self.pipeline:
            self._write_refusal(self._refusal)
        elif self._running is self.cycle and self.cycle.more_body:
            # It is the running request that is broken: its body will never be whole.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._write_refusal(self._refusal)

    def _write_refusal(self, refusal: bytes) -> None:
        self.transport.write(refusal)
        self.transport.close()
