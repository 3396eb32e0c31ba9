"""One HTTP/1.1 connection to a provider, and the reading of one answer.

Answers of the common form are read where they are (`edge/_fast/_answer.py`). From the first thing that is odd the
parser is httptools' (llhttp), up to the end of that answer. It completes informational (1xx) answers like others, knows
no end of input, and cannot pause. So 1xx are skipped here; an answer with neither length nor chunks is complete at the
end of the connection, and every other end before completion is a truncation.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools

from edge._fast import JOINER, AnswerReader, FieldCollector, FieldLimitError, ResponseHead
from edge.errors import EdgeError, Headers, InternalError, UpstreamBadResponse, UpstreamStreamBroken
from edge.upload import Taker
from edge.upstreams.receiver import Receiver, Transport
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.wire import GZIP_BEGINS, Inflater, inflater_for, unlabelled

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._fields_c import Fields
else:
    from edge._fast import Fields

__all__ = ["Connection", "Owner", "Sending"]

MAX_HEAD = 65536
MAX_HEADERS = 200
MAX_UNREAD = MAX_HEAD + 262144
"""What has come without a byte of body: a head that is not complete, trailers, the extensions of a chunk. uvloop reads
256 KiB at once."""
HEAD_TOO_LARGE = "The provider's answer has a head that is too large."
TOO_MUCH_AROUND = "The provider's answer has too much around its body."
HEAD_OF_ALL = ResponseHead(MAX_HEADERS, MAX_HEAD)
"""What was read is asked for at once, so that one serves all connections."""
CHUNKED, LAST_CHUNK = b"transfer-encoding: chunked\r\n", b"0\r\n\r\n"
JOINED = 65536
"""A request up to this size is one write, so that it is one segment where it can be."""


class Owner(Transport):
    """Whoever keeps connections: the pool."""

    def give_back(self, connection: Connection) -> None:
        raise NotImplementedError

    def forget(self, connection: Connection) -> None:
        raise NotImplementedError

    def start_of(self, request: UpstreamRequest) -> bytes:
        """The first lines of a request, up to the length of its body, where it is to have one."""
        raise NotImplementedError

    def stale(self, sending: Sending) -> None:
        """The connection had been closed by the peer when `sending` was written to it: not a byte came back."""
        raise NotImplementedError

    def withdraw(self, sending: Sending) -> None:
        """`sending` is cancelled before it got a connection."""
        raise NotImplementedError


class Connection(Taker):
    """One connection, an asyncio protocol. ``reused``: it has served before; ``usable``: it is open and silent."""

    def __init__(self, pool: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self.loop = loop
        self._transport: Any = None
        self._head = HEAD_OF_ALL
        self._reader = AnswerReader(HEAD_OF_ALL)
        self._collector = FieldCollector(MAX_HEADERS)
        self.on_header = self._collector.add  # httptools asks for it once, when the parser is made
        self._parser: Any = None
        self._sending: Sending | None = None
        self._unread = 0
        self._informational = False
        self._full = False
        self.reused = False
        self.usable = False
        self.idle_since = 0.0

    def send(self, sending: Sending) -> None:
        """Send a request, whose answer comes here."""
        if not self.usable:
            # It was closed between being handed over and being used.
            self._pool.stale(sending)
            return
        request = sending.request
        sending.connection = self
        self._sending = sending
        self._reader.begin()
        self._unread = 0
        start, body = self._pool.start_of(request), request.body
        size = len(body) if request.method == b"POST" else -1
        if request.rest is not None:
            self._open_upload(request, start)
        elif size <= JOINED:
            self._transport.write(JOINER.message(start, size, request.fields, request.own, body))
        else:
            self._transport.write(JOINER.message(start, size, request.fields, request.own, b""))
            self._transport.write(body)
        request.sent = True

    # A body that goes on while it comes.

    def _open_upload(self, request: UpstreamRequest, start: bytes) -> None:
        rest, fields, body = request.rest, request.fields, request.body
        assert rest is not None  # noqa: S101 - asked where there is one
        if rest.size < 0:
            self._transport.write(JOINER.message(start, -1, fields + CHUNKED, request.own, b""))
            self._transport.write(JOINER.chunk(body))
        else:
            self._transport.write(JOINER.message(start, len(body) + rest.size, fields, request.own, b""))
            self._transport.write(body)
        rest.begin(self)

    def more(self) -> None:
        sending = self._sending
        if sending is None or sending.uploaded:
            return
        rest = sending.request.rest
        assert rest is not None  # noqa: S101 - else it is uploaded
        while not self._full and self.usable and (data := rest.take()):
            self._transport.write(JOINER.chunk(data) if rest.size < 0 else data)
        if rest.taken() and self.usable:
            if rest.size < 0:
                self._transport.write(LAST_CHUNK)
            sending.uploaded = True

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.usable = True

    def data_received(self, data: bytes) -> None:
        sending = self._sending
        if sending is None:
            # Bytes that nobody asked for.
            self.abort()
            return
        sending.untouched = False
        if self._reader.read(data, sending.parts):
            self._look(sending)
        # Released here, never inside one of the parser's callbacks: only now is all of `data` known.
        if sending.whole:
            self._sending = None
            if sending.can_be_followed() and self.usable and not self._transport.get_write_buffer_size():
                sending.resume()
                self._pool.give_back(self)
            else:
                self.abort()
        elif sending.failure is not None:
            self._sending = None
            self.abort()
        sending.tell()

    def _look(self, sending: Sending) -> None:
        """What has been read that is not just the middle of a body?"""
        reader = self._reader
        if reader.headed and not sending.has_head:
            try:
                sending.take_head(self._head.status, self._head.fields(), True)  # with a length, or in chunks
            except EdgeError as error:
                sending.parts.clear()
                sending.break_off(error)
                return
        if reader.whole:
            sending.keeps_alive = reader.keeps_alive
            sending.whole = True
        elif reader.odd:
            if self._parser is None:
                self._parser = httptools.HttpResponseParser(self)
            if reader.before:
                self._sending = None  # it has been told of this
                self._parser.feed_data(reader.before)
                self._sending = sending
            self._parse(reader.rest, sending)

    def _parse(self, data: bytes, sending: Sending) -> None:
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            if sending.whole:
                sending.keeps_alive = False  # what came after the answer is no HTTP
            elif isinstance(cause, FieldLimitError):
                sending.break_off(UpstreamBadResponse(HEAD_TOO_LARGE))
            elif isinstance(error, httptools.HttpParserCallbackError) and isinstance(cause, Exception):
                sending.break_off(cause if isinstance(cause, EdgeError) else InternalError())
            else:
                sending.break_off(UpstreamBadResponse())
        if self._unread > MAX_UNREAD:
            sending.break_off(UpstreamBadResponse(TOO_MUCH_AROUND if sending.has_head else HEAD_TOO_LARGE))

    def eof_received(self) -> None:
        self.usable = False  # the transport closes itself next
        sending = self._sending
        if sending is not None and sending.end_of_input():
            self._sending = None
            sending.tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        sending, self._sending = self._sending, None
        self._parser = None  # the two know each other
        self._pool.forget(self)
        if sending is None:
            return
        if self.reused and sending.untouched:
            self._pool.stale(sending)
            return
        if exc is not None or not sending.end_of_input():
            sending.break_off(UpstreamStreamBroken())
        sending.tell()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.more()

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

    def let_go(self, sending: Sending) -> None:
        """Nobody waits for the answer to `sending` any more."""
        if self._sending is sending:
            self._sending = None
            self.abort()

    # httptools' callbacks. A connection that is not kept alive gets no second message from the parser's view, and one
    # that is starts it anew, so one parser serves all answers.

    def on_message_begin(self) -> None:
        sending = self._sending
        if sending is not None and sending.whole:
            sending.keeps_alive = False  # a second answer to one request
        self._collector.begin()

    def on_headers_complete(self) -> None:
        sending = self._sending
        if sending is None or sending.whole:
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
        sending.take_head(status, headers, False)

    def on_body(self, body: bytes) -> None:
        sending = self._sending
        if sending is not None and not sending.whole:
            self._unread = 0
            sending.parts.append(body)

    def on_message_complete(self) -> None:
        sending = self._sending
        if sending is None or sending.whole:
            return
        if self._informational:
            self._informational = False
            return
        sending.keeps_alive = self._parser.should_keep_alive()
        sending.whole = True


class Sending:
    """One request, and the answer to it as far as it has come: the `edge.upstreams.wire.Wire` of a pool.

    ``connection``: where it was sent, None before; ``again``: its first connection was stale. ``whole``: the answer's
    end has come; ``failure``: why there will be none; ``untouched``: not a byte has come. ``parts`` are bytes of the
    body that the receiver has not been told of. ``uploaded``: all of the request has been written.
    """

    def __init__(self, pool: Owner, request: UpstreamRequest, receiver: Receiver) -> None:
        self.begin(pool, request, receiver)

    def begin(self, pool: Owner, request: UpstreamRequest, receiver: Receiver) -> None:
        """As it is made: nothing has been sent."""
        self.pool = pool
        self.request = request
        self.receiver: Receiver | None = receiver
        self.connection: Connection | None = None
        self.again = False
        self.whole = False
        self.failure: EdgeError | None = None
        self.untouched = True
        self.uploaded = request.rest is None
        self.has_head = False
        self.framed = False
        self.keeps_alive = False
        self.parts: list[bytes] = []
        self._status = 0
        self._fields: Fields = None
        self._untold = False
        self._inflater: Inflater | None = None
        self._begun = False
        self._paused = False

    # For the receiver.

    def pause(self) -> None:
        if not self._paused and self.connection is not None and not self.whole:
            self._paused = True
            self.connection.pause()

    def resume(self) -> None:
        if self._paused and self.connection is not None:
            self._paused = False
            self.connection.resume()

    def cancel(self) -> None:
        if self.receiver is None:
            return
        self.receiver = None
        if self.connection is None:
            self.pool.withdraw(self)
        else:
            self.connection.let_go(self)

    # For the connection.

    def can_be_followed(self) -> bool:
        """Whether the connection can have another request after this one, whose answer is whole."""
        return self.keeps_alive and self.uploaded

    def take_head(self, status: int, headers: Headers, framed: bool) -> None:
        """All headers are here; `framed`: they are known to say where the body ends. Raises UpstreamBadResponse."""
        fields = self._fields = Fields.__new__(Fields)
        fields.pairs = headers
        self.framed = framed or status in (204, 304) or b"content-length" in fields or b"transfer-encoding" in fields
        if fields.get(b"content-encoding") is not None:
            self._inflater = inflater_for(headers)
        self._status = status
        self.has_head = self._untold = True

    def end_of_input(self) -> bool:
        """The peer has ended its side properly. Returns whether that is the end of the answer, as it is of one without
        length or chunks.
        """
        if self.has_head and not self.framed and self.failure is None:
            self.whole = True
        return self.whole

    def break_off(self, error: EdgeError) -> None:
        """The answer will have no end."""
        if not self.whole and self.failure is None:
            self.failure = error

    def tell(self) -> None:
        """Tell the receiver what has come since the last time. The connection is not touched after this: it may be
        another's, or gone.
        """
        receiver = self.receiver
        if receiver is None:
            return
        if self._untold:
            self._untold = False
            receiver.head(self._status, self._fields, self.framed)
            if self.receiver is None:
                return
        if self.parts:
            parts = self.parts
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            if not self._begun:
                self._begun = True
                if self._inflater is None and data.startswith(GZIP_BEGINS):
                    self._inflater = unlabelled(self._fields)
            if self._inflater is not None:
                try:
                    data = self._inflater.feed(data)
                except EdgeError as error:
                    data, self.whole = b"", False
                    self.failure = error
                    if self.connection is not None:
                        self.connection.let_go(self)
            if data:
                receiver.body(data)
                if self.receiver is None:
                    return
        if self.whole and self._inflater is not None and not self._inflater.complete:
            self.whole, self.failure = False, UpstreamStreamBroken()
        if self.whole or self.failure is not None:
            self.receiver = None  # the two know each other
            if self.failure is not None:
                receiver.failed(self.failure)
            else:
                receiver.ended()

    def fail(self, error: EdgeError) -> None:
        """It never got a connection, or none that was alive."""
        self.failure = error
        self.tell()
