"""uvicorn's HTTP protocol on httptools, with the guard that it lacks.

httptools has no limits and uvicorn no deadline for what a client sends; both leave the Host header unchecked. Beyond
that, of uvicorn 0.54 with httptools:

* a request that asks for an upgrade loses its body, and a body in the next segment is executed as a request: its head
  is read again without the wish, by a fresh parser;
* the answer to a malformed pipelined request overtakes the answers before it: here it waits for its turn;
* with a pipelined request waiting nothing is read, so that nobody sees the client leave: here up to `MAX_PIPELINED`
  bytes are read, and a lost connection is told to every request on it;
* trailers arrive as headers, after the headers: they are ignored.

The requests of a connection are its turns: one is answered at a time, in their order, and none is begun while the
client does not take what was written for those before it.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edge._fast import FieldCollector, FieldLimitError, index_fields
from edge.dialects import anthropic, openai
from edge.errors import EdgeError, HeaderTooLarge, InternalError, InvalidHTTP, RequestTimeout, TargetTooLong
from edge.server.asgi_turn import AsgiTurn
from edge.server.crowd import Crowd, Door
from edge.server.turn import Turn
from edge.telemetry.logs import where

__all__ = ["SWEEP_S", "EdgeProtocol"]

MAX_HEAD = 32768
MAX_HEADERS = 100
MAX_UNREAD = MAX_HEAD + 262144
"""What follows a body's latest byte (trailers, the extensions of a chunk): it may have begun in a segment full of other
things; uvloop reads 256 KiB at once."""
REQUEST_LINE = 64
"""What a request's line may have besides its target."""
MAX_TARGET = 8192
MAX_PIPELINED = 65536
LARGE = 65536
"""Bytes of a segment after which others have their turn: libuv would read 32 of 256 KiB first. In chunks of two bytes
these take seconds."""
FIRST_BYTE_S = 10.0
HEAD_S = 10.0
BODY_IDLE_S = 15.0
BODY_RATE = 16384
"""Bytes a second that a body must bring on average, beyond the first `BODY_IDLE_S`."""
KEEP_ALIVE_S = 75.0
WRITE_STALL_S = 30.0
LINGER_S = 2.0
"""After the last answer, what the client still sends is read off for this long: closing earlier would reset the
connection, and the client might never see the answer (RFC 9112, section 9.6)."""
GOODBYE_S = 5.0
"""Over TLS a close waits for the client's own, which one with a pool sends when it next looks at the connection."""
SWEEP_S = 0.25
NEVER = float("inf")

HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(:[0-9]{1,5})?")
"""RFC 9110, section 7.2: a host and a port, and nothing that could be read as either twice."""
TARGET = re.compile(rb"(/|https?://)[\x21-\x7e]*")
PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


class EdgeProtocol(HttpToolsProtocol):
    """One client connection, of a ``crowd`` if that is set. Whoever keeps it looks at its ``deadline``, a reading of
    the loop's clock, every `SWEEP_S` seconds, and calls `expire` when it is over.
    """

    crowd: Crowd | None = None
    door: Door | None = None  # by which it enters that, if not straight
    group: str | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        self._collector = FieldCollector(MAX_HEADERS)
        # httptools asks for it once, when the parser is made.
        self.on_header = self._collector.add  # type: ignore[method-assign]
        super().__init__(*args, **options)
        self._running: Turn | None = None
        self._reading: Turn | None = None
        self._waiting: deque[Turn] = self.pipeline  # type: ignore[assignment]
        self._advancing = False
        self._refusal: bytes | None = None
        self._lingering = False
        self._in_head = False
        self._begun_at = 0.0
        self._segment = 0
        self._fed = 0
        self._body_size = 0
        self._pipelined = 0
        self._good_host: bytes | None = None
        self._served = False
        self._begins = False
        self._before_head = 0
        self.deadline = NEVER

    # asyncio's side.

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.deadline = self.loop.time() + FIRST_BYTE_S
        crowd, door, self.door = self.crowd, self.door, None
        if crowd is not None and not (door or crowd).enter(self, self.client[0] if self.client else ""):
            self.connections.discard(self)
            crowd.turn_away(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        if self.crowd is not None:
            self.crowd.leave(self)
        turns = [self._running, *self._waiting]
        self._running = self._reading = None
        self._waiting.clear()
        for turn in turns:
            if turn is not None:
                turn.lost()
        self.flow.resume_writing()
        self.parser = None

    def data_received(self, data: bytes) -> None:
        if self._lingering or self._refusal is not None:
            return
        if self._waiting:
            self._pipelined += len(data)
        self._segment = len(data)
        self._fed += self._segment
        self._begins = not self._in_head and self.between
        left: bytes | memoryview = data
        reading = True
        try:
            while reading:
                try:
                    self.parser.feed_data(left)
                    reading = False
                except httptools.HttpParserUpgrade as upgrade:
                    left = memoryview(left)[upgrade.args[0] :]
                if reading:
                    self._read_again()
        except (EdgeError, httptools.HttpParserError) as error:
            self._refuse(self.cause_of(error))
            return
        if self._in_head:
            too_much = self._fed - self._before_head > MAX_HEAD + len(self.url) + REQUEST_LINE
        else:
            too_much = self._reading is not None and self._fed > MAX_UNREAD
        if too_much:
            self._refuse(HeaderTooLarge(f"The headers are larger than {MAX_HEAD} bytes."))
            return
        self._clock()
        if self._pipelined > MAX_PIPELINED:
            self.flow.pause_reading()
        elif self._segment >= LARGE and not self.transport.is_closing():
            self.transport.pause_reading()
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.flow.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def cause_of(self, error: Exception) -> EdgeError:
        """What the parser, one of its callbacks or a turn had against the request."""
        cause: BaseException = error
        if isinstance(error, httptools.HttpParserError):
            if not isinstance(error, httptools.HttpParserCallbackError) or error.__context__ is None:
                return InvalidHTTP()
            cause = error.__context__
        if isinstance(cause, FieldLimitError):
            return HeaderTooLarge(f"The headers are more than {MAX_HEADERS}.")
        if not isinstance(cause, EdgeError):
            self.logger.error("internal error: %s", where(cause))
            return InternalError()
        return cause

    def _read_again(self) -> None:
        """Read a head that asked for an upgrade once more, without that wish. Raises InvalidHTTP, HttpParserError."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise InvalidHTTP("This is no forward proxy.", status=405)
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in (b"upgrade", b"http2-settings"))
            if name not in (b"upgrade", b"http2-settings") and (value or name != b"connection"):
                lines.append(b"%b: %b" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        self.url = b""
        self._collector.begin()
        self._in_head = True
        self._fed = self._segment
        # The first head of a segment that came to an idle connection begins with it; where others begin is not told.
        self._before_head = 0 if self._begins else self._segment
        self._begins = False
        self._body_size = 0
        self._begun_at = self.loop.time()

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > MAX_TARGET:
            raise TargetTooLong(f"The request's target is longer than {MAX_TARGET} bytes.")

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser = self.parser
        headers = self.headers = self._collector.take()
        if parser.should_upgrade() or self._lingering:
            return  # it is read again; or nothing is answered any more
        # No head is larger than what was fed since the segment it began in.
        if self._fed > MAX_HEAD and sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD:
            raise HeaderTooLarge(f"The headers are larger than {MAX_HEAD} bytes.")
        index = index_fields(headers)
        repeated = len(index) != len(headers)
        host = index.get(b"host")
        keeps_alive = parser.should_keep_alive()
        version = "1.1"
        if not keeps_alive or repeated or host is None or b"connection" in index:
            # Without a word about the connection only HTTP/1.1 keeps it; the version itself is costly to ask for.
            version = parser.get_http_version()
            if version not in ("1.0", "1.1"):
                raise InvalidHTTP("HTTP/1.0 and HTTP/1.1 are answered.")
            hosts = sum(name == b"host" for name, _ in headers)
            if hosts > 1 or (hosts == 0 and version == "1.1"):
                raise InvalidHTTP("A request names exactly one host.")
        if host is not None and host != self._good_host:
            if not HOST.fullmatch(host):
                raise InvalidHTTP("A request names exactly one host.")
            self._good_host = host
        turn = self._reading = self.turn_for(index, version, keeps_alive)
        if self._running is None and not self._waiting and not self.flow.write_paused:
            self._running = turn
            turn.begin()
        else:
            self._waiting.append(turn)

    def on_body(self, body: bytes) -> None:
        turn = self._reading
        self._fed = self._segment
        if turn is not None and not turn.ended:
            self._body_size += len(body)
            turn.take(body)

    def on_message_complete(self) -> None:
        turn, self._reading = self._reading, None
        if turn is not None and not turn.ended:
            try:
                turn.whole()
            except Exception:
                self._reading = turn  # the one that the error is about
                raise

    # Turns.

    def turn_for(self, index: dict[bytes, bytes], version: str, keeps_alive: bool) -> Turn:
        """The turn of the request whose head is complete. Raises InvalidHTTP."""
        # RFC 9112, section 3.2.4: the asterisk is a target of OPTIONS alone.
        if not TARGET.fullmatch(self.url) and (self.url != b"*" or self.parser.get_method() != b"OPTIONS"):
            raise InvalidHTTP("The request's target has a form that is not answered.")
        return AsgiTurn(self, index, version, keeps_alive)

    def answered(self) -> None:
        """The answer to the running turn is written."""
        self._served = True
        self.server_state.total_requests += 1
        turn, self._running = self._running, None
        if turn is not None and turn.closes:
            self._finish()
        elif self._waiting or self._refusal is not None or self._pipelined:
            self._advance()
        elif not self.flow.write_paused:
            self.deadline = self.loop.time() + KEEP_ALIVE_S

    def _advance(self) -> None:
        """Let the next turns begin, until one has to wait for something."""
        if self._advancing:
            return  # a turn that ended as soon as it began
        self._advancing = True
        # What was not read meanwhile, or waited to be asked for, has its time from here.
        self._begun_at = self.loop.time()
        try:
            while self._running is None and self._waiting and not self._lingering and not self.flow.write_paused:
                turn = self._running = self._waiting.popleft()
                turn.begin()
        except Exception as error:  # noqa: BLE001 - it is not that of the turn that has just ended, and calls us
            self.logger.error("internal error: %s", where(error))
            self.transport.abort()
            return
        finally:
            self._advancing = False
        if self._running is None and not self._waiting and self._refusal is not None and not self._lingering:
            self.transport.write(self._refusal)
            self._finish()
        if not self._waiting:
            self._pipelined = 0
            self.flow.resume_reading()
        if self.between:
            self.deadline = self.loop.time() + KEEP_ALIVE_S
        else:
            self._clock()

    def _finish(self) -> None:
        """Close, once what the client is still sending can no longer hurt."""
        waiting = list(self._waiting)
        self._waiting.clear()
        for turn in waiting:
            turn.lost()
        if self._lingering or self.transport.is_closing():
            return
        if self._reading is None and self._refusal is None:
            self.close()
            return
        self._lingering = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():  # TLS cannot
            self.transport.write_eof()
        self.deadline = self.loop.time() + LINGER_S

    def close(self) -> None:
        """Close when all is written, or when the client has not taken it for too long."""
        self._lingering = True
        left = self.transport.get_write_buffer_size()
        self.transport.close()
        self.deadline = self.loop.time() + (WRITE_STALL_S if left else GOODBYE_S)

    def shutdown(self) -> None:
        """The worker drains: close when what is running is answered."""
        if self._running is not None:
            self._running.closes = True
        elif not self._waiting and not self._lingering:
            self.close()

    @property
    def between(self) -> bool:
        """Whether there is no request on it, not even a part of one, and what was written is taken."""
        return (
            self._running is None
            and self._reading is None
            and not self._in_head
            and not self._waiting
            and not self._lingering
            and self._refusal is None
            and not self.flow.write_paused
        )

    @property
    def idle_since(self) -> float | None:
        """When the last answer was written, or when it was made, if nothing has come since."""
        if not self.between:
            return None
        return self.deadline - (KEEP_ALIVE_S if self._served else FIRST_BYTE_S)

    def give_up(self) -> None:
        """Close at once: it is idle, and its place is wanted."""
        self._lingering = True
        self.transport.abort()

    # Deadlines and refusals.

    def _clock(self) -> None:
        """Set the deadline of what is awaited from the client."""
        if self._lingering or self.flow.write_paused:
            return
        if self._in_head:
            self.deadline = self._begun_at + HEAD_S
        elif self._waiting and self._waiting[-1] is self._reading:
            self.deadline = NEVER  # it may be waiting for its turn, as one that expects a 100 (Continue)
        elif self._reading is not None:
            latest = self._begun_at + BODY_IDLE_S + self._body_size / BODY_RATE
            self.deadline = min(self.loop.time() + BODY_IDLE_S, latest)
        elif self._running is not None:
            self.deadline = NEVER

    def pause_writing(self) -> None:
        super().pause_writing()
        self.deadline = self.loop.time() + WRITE_STALL_S

    def resume_writing(self) -> None:
        super().resume_writing()
        self.deadline = self.loop.time() + KEEP_ALIVE_S
        if self._running is None and self._waiting:
            self._advance()
        else:
            self._clock()

    def expire(self) -> None:
        """The deadline is over."""
        if self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
        elif self._lingering:
            self.close()
        # A body that is not read because the application does not take it is not the client's fault.
        elif self.flow.read_paused or self._refusal is not None:
            return
        elif self._in_head or (self._reading is not None and not self._reading.ended):
            self._refuse(RequestTimeout())
        else:
            self.close()

    def _refuse(self, error: EdgeError) -> None:
        """Answer with an error, after the answers that are due before it, and close."""
        headers = self._collector.fields if self._in_head else self.headers
        of_anthropic = any(name == b"anthropic-version" for name, _ in headers or ())
        if of_anthropic or self.url.startswith(b"/anthropic"):
            body = anthropic.error_body(error, "")
        else:
            body = openai.error_body(error)
        more = b"".join(b"%b: %b\r\n" % field for field in error.headers)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n"
        self._refusal = head % (error.status, PHRASES.get(error.status, b"Refused"), len(body), more) + body
        broken = self._reading
        if broken is not None:
            # The request whose body will never be whole.
            if broken.ended:
                self._finish()
                return
            if broken is self._running:
                self._running = None
            else:
                self._waiting.remove(broken)
            broken.lost()
        self._advance()
