"""uvicorn's HTTP protocol on httptools, with the guard that it lacks.

httptools has no limits and uvicorn no deadline for what a client sends; both leave the Host header unchecked. Beyond
that, of uvicorn 0.54 with httptools:

* a request that asks for an upgrade loses its body, and a body in the next segment is executed as a request: its head
  is read again without the wish, by a fresh parser;
* the answer to a malformed pipelined request overtakes the answers before it: here it waits for its turn;
* with a pipelined request waiting nothing is read, so that nobody sees the client leave: here up to `MAX_PIPELINED`
  bytes are read, and a lost connection is told to every request on it;
* trailers arrive as headers, after the headers: they are ignored.

A head of the common form, of a request that comes to a connection which has no other, is read in one scan
(`edge/_fast/_head.py`), and its body, which has a length, by counting. All others are read by httptools.

The requests of a connection are its turns: one is answered at a time, in their order, and none is begun while the
client does not take what was written for those before it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edge._fast import FieldCollector, index_fields
from edge.errors import EdgeError, HeaderTooLarge, InvalidHTTP, RequestTimeout, TargetTooLong
from edge.server.asgi_turn import AsgiTurn
from edge.server.crowd import Crowd, Door
from edge.server.refusal import cause_of, refusal
from edge.server.request_head import MAX_HEAD, MAX_HEADERS, MAX_TARGET, check_size, check_target, checked_host, scan
from edge.server.turn import Turn
from edge.server.upgrade import without_upgrade
from edge.telemetry.logs import where

__all__ = ["SWEEP_S", "EdgeProtocol"]

MAX_UNREAD = MAX_HEAD + 262144
"""What follows a body's latest byte (trailers, the extensions of a chunk): it may have begun in a segment full of other
things; uvloop reads 256 KiB at once."""
REQUEST_LINE = 64
"""What a request's line may have besides its target."""
MAX_PIPELINED = 65536
LARGE = 65536
"""Bytes of a segment after which others have their turn: libuv would read 32 of 256 KiB first. In chunks of two bytes
these take seconds. And of a body that its turn has before it begins: whoever refuses a larger one closes."""
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
        self.method = b""
        self._missing = 0
        self._segment = self._fed = self._body_size = self._pipelined = 0
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
        try:
            if self._begins:
                data = self._begin(data)
            elif self._missing:
                data = self._go_on(data)
            if data:
                self._parse(data)
        except Exception as error:  # noqa: BLE001 - of this one request
            self._refuse(cause_of(error, self.logger))
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

    def _begin(self, data: bytes) -> bytes:
        """Read a request whose head is of the common form, as far as it has come; what is left is for the parser."""
        begun = self.begun_turn(data)
        if begun is None:
            return data
        turn, size, at = begun
        self._begins = False  # what follows does not begin with the segment
        end = at + size
        self._running = turn
        if end > len(data) or size > LARGE:
            self._reading = turn
            self._missing = size
            self._begun_at = self.loop.time()
            self._body_size = 0
            self._fed = self._segment
            turn.begin()
            return self._go_on(data[at:])
        try:
            if size:
                turn.take(data[at:end])
            turn.whole()
            turn.begin()
        except Exception:
            self._reading = turn  # the one that the error is about
            raise
        return data[end:]

    def _go_on(self, data: bytes) -> bytes:
        """The same with what has come of its body."""
        body = data[: self._missing]
        self._missing -= len(body)
        if body:
            self.on_body(body)
        if not self._missing:
            self.on_message_complete()
        return data[len(body) :]

    def _parse(self, data: bytes) -> None:
        left: bytes | memoryview = data
        while left:
            try:
                self.parser.feed_data(left)
                return
            except httptools.HttpParserUpgrade as upgrade:
                left = memoryview(left)[upgrade.args[0] :]
            self._read_again()

    def _read_again(self) -> None:
        """Read a head that asked for an upgrade once more, without that wish. Raises InvalidHTTP, HttpParserError."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise InvalidHTTP("This is no forward proxy.", status=405)
        version: str = self.parser.get_http_version()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(without_upgrade(b"%b %b HTTP/%b" % (method, self.url, version.encode()), self.headers))

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
        if self._fed > MAX_HEAD:
            check_size(headers)
        index = index_fields(headers)
        host = index.get(b"host")
        keeps_alive = parser.should_keep_alive()
        version = "1.1"
        if not keeps_alive or len(index) != len(headers) or host is None or b"connection" in index:
            # Without a word about the connection only HTTP/1.1 keeps it; the version itself is costly to ask for.
            version = parser.get_http_version()
            if version not in ("1.0", "1.1"):
                raise InvalidHTTP("HTTP/1.0 and HTTP/1.1 are answered.")
            hosts = sum(name == b"host" for name, _ in headers)
            if hosts > 1 or (hosts == 0 and version == "1.1"):
                raise InvalidHTTP("A request names exactly one host.")
        if host is not None and host != self._good_host:
            self._good_host = checked_host(host)
        self.method = parser.get_method()
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

    def begun_turn(self, data: bytes) -> tuple[Turn, int, int] | None:
        """The turn of the request that `data` begins with, the size of its body and where that begins; None where the
        head is not of the common form. Raises InvalidHTTP.
        """
        scanned = scan(data)
        if scanned is None:
            return None
        self.method, self.url, self.headers, size, at = scanned
        index = index_fields(self.headers)
        if index[b"host"] != self._good_host:
            self._good_host = checked_host(index[b"host"])
        return self.turn_for(index, "1.1", True), size, at

    def turn_for(self, index: dict[bytes, bytes], version: str, keeps_alive: bool) -> Turn:
        """The turn of the request whose head is complete. Raises InvalidHTTP."""
        check_target(self.url, self.method)
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
        self._refusal = refusal(error, self._collector.fields if self._in_head else self.headers, self.url)
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
