"""One HTTP/1.1 connection to a provider, and the reading of one answer. The parser is httptools' (llhttp).

httptools completes informational (1xx) answers like others, knows no end of input, and cannot pause. So 1xx are
skipped here; an answer with neither length nor chunks is complete at the end of the connection, and every other end
before completion is a truncation.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools

from edge._fast import FieldCollector, FieldLimitError, index_fields, join_fields
from edge.errors import Headers, UpstreamBadResponse, UpstreamStreamBroken
from edge.upstreams.wire import Inflater, Sink, UpstreamRequest, inflater_for, unlabelled

__all__ = ["Connection", "Owner", "StaleConnectionError"]

MAX_HEAD = 65536
MAX_HEADERS = 200
MAX_UNREAD = MAX_HEAD + 262144
"""What has come without a byte of body: a head that is not complete, trailers, the extensions of a chunk. uvloop reads
256 KiB at once."""
HEAD_TOO_LARGE = "The provider's answer has a head that is too large."
TOO_MUCH_AROUND = "The provider's answer has too much around its body."
HIGH_WATER = 262144
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
        self.loop = loop
        self._transport: Any = None
        self._collector = FieldCollector(MAX_HEADERS)
        self.on_header = self._collector.add  # httptools asks for it once, when the parser is made
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._unread = 0
        self._informational = False
        self.reused = False
        self.usable = False
        self.idle_since = 0.0

    def send(self, request: UpstreamRequest, authority: bytes) -> Answer:
        """Send, and return the answer that is awaited."""
        answer = Answer(self)
        if not self.usable:
            # It was closed between being handed over and being used.
            answer.failure = StaleConnectionError()
            return answer
        self._answer = answer
        self._unread = 0
        start = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (request.method, request.target, authority)
        body = request.body
        if body or request.method == b"POST":
            start += b"content-length: %d\r\n" % len(body)
        if len(body) <= JOINED:
            self._transport.write(join_fields(start, request.headers, body))
        else:
            self._transport.write(join_fields(start, request.headers, b""))
            self._transport.write(body)
        request.sent = True
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
        answer.untouched = False
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            if answer.ended:
                answer.keeps_alive = False  # what came after the answer is no HTTP
            elif isinstance(cause, FieldLimitError):
                answer.fail(UpstreamBadResponse(HEAD_TOO_LARGE))
            elif isinstance(error, httptools.HttpParserCallbackError) and isinstance(cause, Exception):
                answer.fail(cause)
            else:
                answer.fail(UpstreamBadResponse())
        if self._unread > MAX_UNREAD:
            answer.fail(UpstreamBadResponse(TOO_MUCH_AROUND if answer.has_head else HEAD_TOO_LARGE))
        # Released here, never inside one of the parser's callbacks: only now is all of `data` known.
        if answer.ended:
            self._answer = None
            if answer.keeps_alive and self.usable and not self._transport.get_write_buffer_size():
                self._pool.give_back(self)
            else:
                self.abort()
        elif answer.failure is not None:
            self.abort()

    def eof_received(self) -> None:
        self.usable = False  # the transport closes itself next
        if self._answer is not None:
            self._answer.end_of_input()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        answer, self._answer = self._answer, None
        if answer is not None:
            if exc is None:
                answer.end_of_input()
            answer.fail(StaleConnectionError() if self.reused and answer.untouched else UpstreamStreamBroken())
        self._parser = None  # the two know each other
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

    def let_go(self, answer: Answer) -> None:
        """The reader of `answer` wants no more of it."""
        if self._answer is answer:
            self.abort()

    # httptools' callbacks. A connection that is not kept alive gets no second message from the parser's view, and one
    # that is starts it anew, so one parser serves all answers.

    def on_message_begin(self) -> None:
        answer = self._answer
        if answer is not None and answer.ended:
            answer.keeps_alive = False  # a second answer to one request
        self._collector.begin()

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None or answer.ended:
            return
        status = self._parser.get_status_code()
        headers = self._collector.take()
        if self._unread > MAX_HEAD and sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD:
            raise UpstreamBadResponse(HEAD_TOO_LARGE)
        if status < 100:
            raise UpstreamBadResponse("The provider's answer has a status that does not exist.")
        if status < 200:
            if status == 101:
                raise UpstreamBadResponse("The provider wants to speak another protocol.")
            self._informational = True
            return
        self._unread = 0
        answer.head(status, headers)

    def on_body(self, body: bytes) -> None:
        answer = self._answer
        if answer is not None and not answer.ended:
            self._unread = 0
            answer.take(body)

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is None or answer.ended:
            return
        if self._informational:
            self._informational = False
            return
        answer.keeps_alive = self._parser.should_keep_alive()
        answer.end()


class Answer:
    """One answer.

    ``ended``: its end was seen; ``complete``: so that nothing is left after the next read; ``failure``: why there will
    be no end; ``untouched``: not a byte has come.
    """

    status = 0
    framed = False
    complete = False
    ended = False
    keeps_alive = False
    failure: Exception | None = None
    untouched = True
    has_head = False
    waiter: asyncio.Future[None] | None = None
    _buffered = 0
    _begun = False
    _paused = False
    _inflater: Inflater | None = None
    _sink: Sink | None = None

    headers: Headers
    index: dict[bytes, bytes]

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chunks: list[bytes] = []

    # For the reader.

    async def arrive(self) -> None:
        """Wait for the head. Raises `failure`."""
        try:
            while not self.has_head:
                if self.failure is not None:
                    raise self.failure
                self.waiter = self._connection.loop.create_future()
                await self.waiter
        except BaseException:
            # A whole answer may be here that this task was cancelled before seeing: then the connection is another's.
            self._connection.let_go(self)
            raise

    async def read(self) -> bytes:
        return await self._next(None)

    async def _next(self, sink: Sink | None) -> bytes:
        """What has come; where nothing has, what comes next. A `sink` gets it there and then instead, until it has
        enough: then b"" is returned although the body is not complete.
        """
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
            if self.ended:
                if self._inflater is not None and not self._inflater.complete:
                    raise UpstreamStreamBroken
                self.complete = True
                return b""
            if self.failure is not None:
                raise self.failure
            self.waiter = self._connection.loop.create_future()
            self._sink = sink
            try:
                await self.waiter
            finally:
                if sink is not None:
                    satisfied, self._sink = self._sink is None, None
            if sink is not None and satisfied:
                return b""

    async def pump(self, sink: Sink) -> bool:
        while data := await self._next(sink):
            if not sink(data):
                return True
        return not self.complete or bool(self._chunks)

    async def close(self) -> None:
        self._connection.let_go(self)

    # For the connection.

    def _wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def head(self, status: int, headers: Headers) -> None:
        """All headers are here."""
        self.status = status
        self.headers = headers
        self.index = index = index_fields(headers)
        self.framed = b"content-length" in index or b"transfer-encoding" in index or status in (204, 304)
        if b"content-encoding" in index:
            self._inflater = inflater_for(headers)
        self.has_head = True
        self._wake()

    def take(self, body: bytes) -> None:
        """The next bytes of the body."""
        if not self._begun:
            self._begun = True
            if self._inflater is None:
                self._inflater = unlabelled(self.index, body)
        sink = self._sink
        if sink is not None:
            if self._inflater is not None:
                body = self._inflater.feed(body)
            if body and not sink(body):
                self._sink = None
                self._wake()
            return
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.pause()
        if self.waiter is not None:
            self._wake()

    def end(self) -> None:
        self.ended = True
        self.complete = self._inflater is None
        if self._paused:
            # Whoever has the connection next must be able to read, whether what is here is taken or not.
            self._paused = False
            self._connection.resume()
        self._wake()

    def end_of_input(self) -> None:
        """The peer has ended its side properly: an answer without length or chunks is complete now."""
        if self.has_head and not self.framed and not self.ended and self.failure is None:
            self.end()

    def fail(self, error: Exception) -> None:
        if not self.ended and self.failure is None:
            self.failure = error
            self._wake()
