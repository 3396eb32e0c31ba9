"""One HTTP/1.1 connection to a provider, and the reading of one answer. The parser is httptools' (llhttp).

httptools completes informational (1xx) answers like others, knows no end of input, and cannot pause. So 1xx are
skipped here; an answer with neither length nor chunks is complete at the end of the connection, and every other end
before completion is a truncation; a parser serves one answer and is thrown away.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools

from edge.errors import EdgeError, Headers, UpstreamBadResponse, UpstreamStreamBroken
from edge.upstreams.wire import Inflater, Response, UpstreamRequest

__all__ = ["Connection", "Owner", "StaleConnectionError"]

MAX_HEAD = 65536
HIGH_WATER = 262144
MAX_BLOCK = 64 << 20
JOINED = 65536
"""A request up to this size is one write, so that it is one segment where it can be."""


class StaleConnectionError(Exception):
    """A kept connection ended before it gave a byte: the peer had closed it when we wrote."""


class Owner(Protocol):
    """Whoever keeps connections: the pool."""

    def give_back(self, connection: Connection) -> None: ...

    def forget(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """One connection. ``reused``: it has served before; ``usable``: it is open and silent."""

    def __init__(self, pool: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._transport: Any = None
        self._answer: _Answer | None = None
        self.reused = False
        self.usable = False
        self.idle_since = 0.0

    async def exchange(self, request: UpstreamRequest, authority: bytes) -> Response:
        answer = self._answer = _Answer(self, self._loop)
        lines = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (request.method.encode("ascii"), request.target, authority)]
        lines += [b"%b: %b\r\n" % pair for pair in request.headers]
        body = request.body
        if body or request.method == "POST":
            lines.append(b"content-length: %d\r\n" % len(body))
        lines.append(b"\r\n")
        if len(body) <= JOINED:
            lines.append(body)
            self._transport.write(b"".join(lines))
        else:
            self._transport.write(b"".join(lines))
            self._transport.write(body)
        try:
            await answer.head()
        except BaseException:
            self.abort()
            raise
        return answer

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.usable = True

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            # Bytes that nobody asked for.
            self.abort()
            return
        answer.feed(data)
        # Released here, never inside one of the parser's callbacks: only now is all of `data` known.
        if answer.complete:
            self._answer = None
            fit = answer.keeps_alive and not self._transport.get_write_buffer_size()
            if fit and self.usable:
                self._pool.give_back(self)
            else:
                self.abort()
        elif answer.failure is not None:
            self.abort()

    def eof_received(self) -> None:
        if self._answer is not None:
            self._answer.end_of_input()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        answer, self._answer = self._answer, None
        if answer is not None:
            if exc is None:
                answer.end_of_input()
            answer.fail(StaleConnectionError() if self.reused and answer.untouched else UpstreamStreamBroken())
        self._pool.forget(self)

    def pause(self) -> None:
        if self.usable:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.usable:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, whatever is still to be written."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def let_go(self, answer: _Answer) -> None:
        """The reader of `answer` wants no more of it."""
        if self._answer is answer:
            self.abort()


class _Answer:
    """One answer, and the httptools callbacks that make it.

    ``complete``: the end was seen; ``failure``: why there will be none; ``untouched``: not a byte has come.
    """

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Headers = []
        self.framed = False
        self.complete = False
        self.keeps_alive = False
        self.failure: Exception | None = None
        self.untouched = True
        self._connection = connection
        self._loop = loop
        self._parser: Any = httptools.HttpResponseParser(self)
        self._head_size = 0
        self._has_head = False
        self._informational = False
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._inflater: Inflater | None = None

    # For the reader.

    async def head(self) -> None:
        while not self._has_head:
            if self.failure is not None:
                raise self.failure
            await self._wait()

    async def read(self) -> bytes:
        while True:
            if self._chunks:
                chunks, self._chunks, self._buffered = self._chunks, [], 0
                if self._paused:
                    self._paused = False
                    self._connection.resume()
                data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                if self._inflater is None:
                    return data
                if data := self._inflater.feed(data):
                    return data
                continue
            if self.complete:
                if self._inflater is not None and not self._inflater.complete:
                    raise UpstreamStreamBroken
                return b""
            if self.failure is not None:
                raise self.failure
            await self._wait()

    async def close(self) -> None:
        self._connection.let_go(self)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # For the connection.

    def feed(self, data: bytes) -> None:
        self.untouched = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self.complete:
                self.keeps_alive = False  # what came after the answer is no HTTP
            elif isinstance(error.__context__, EdgeError):
                self.fail(error.__context__)
            else:
                self.fail(UpstreamBadResponse())

    def end_of_input(self) -> None:
        """The peer has ended its side properly: an answer without length or chunks is complete now."""
        if self._has_head and not self.framed and not self.complete and self.failure is None:
            self.complete = True
            self._wake()

    def fail(self, error: Exception) -> None:
        if not self.complete and self.failure is None:
            self.failure = error
            self._wake()

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        if self.complete:
            self.keeps_alive = False  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + 4
        if self._head_size > MAX_HEAD:
            raise UpstreamBadResponse("The provider's answer has a head that is too large.")
        if not self._has_head:  # what comes later are trailers
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise UpstreamBadResponse("The provider wants to speak another protocol.")
            self._informational = True
            return
        self.status = status
        for name, value in self.headers:
            if name in (b"content-length", b"transfer-encoding"):
                self.framed = True
            elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
                self._inflater = Inflater(value.lower(), MAX_BLOCK)
        self.framed = self.framed or status in (204, 304)
        self._has_head = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        if self.complete:
            return
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.pause()
        self._wake()

    def on_message_complete(self) -> None:
        if self._informational:
            self._informational = False
            self.headers.clear()
            return
        if self.complete:
            return
        self.complete = True
        self.keeps_alive = self._parser.should_keep_alive()
        self._wake()
