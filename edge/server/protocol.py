"""A server's side of HTTP/1.1, for uvicorn's server in place of its own protocol on httptools, with the guard which
that lacks.

httptools has no limits and uvicorn no deadline for what a client sends; both leave the Host header unchecked. Beyond
that, of uvicorn 0.54 with httptools:

* a request that asks for an upgrade loses its body, and a body in the next segment is executed as a request: its head
  is read again without the wish, by a fresh parser (a WebSocket's is answered then: what follows it is its own);
* the answer to a malformed pipelined request overtakes the answers before it: here it waits for its turn;
* with a pipelined request waiting nothing is read, so that nobody sees the client leave: here up to `MAX_PIPELINED`
  bytes are read, and a lost connection is told to every request on it;
* trailers arrive as headers, after the headers: they are ignored.

A head of the common form, of a request that comes to a connection which has no other, is read in one scan
(`edge/_fast/_head.py`), and its body, which has a length, by counting. All others are read by httptools.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httptools
import uvicorn
from uvicorn.server import ServerState

from edge._fast import FieldCollector, index_fields
from edge.config import Websockets
from edge.errors import EdgeError, Headers, HeaderTooLarge, InvalidHTTP, TargetTooLong
from edge.routes import Match
from edge.server.asgi_socket_turn import AsgiSocketTurn
from edge.server.asgi_turn import AsgiTurn
from edge.server.patience import (
    LARGE,
    MAX_PIPELINED,
    MAX_REQUESTS,
    MAX_UNREAD,
    REQUEST_LINE,
)
from edge.server.refusal import cause_of, refusal
from edge.server.request_head import (
    MAX_HEAD,
    MAX_HEADERS,
    MAX_TARGET,
    check_coding,
    check_size,
    check_target,
    checked_host,
    scan,
)
from edge.server.turn import SocketTurn, Turn
from edge.server.turns import Turns
from edge.server.upgrade import wished, without_upgrade

if TYPE_CHECKING:
    from edge.server.asgi import EdgeApplication

__all__ = ["EdgeProtocol"]


class EdgeProtocol(Turns):
    """One client connection, an asyncio protocol.

    Of the request whose head was read last, ``method``, ``url`` and ``headers`` are those.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        Turns.__init__(self, server_state, asyncio.get_event_loop() if _loop is None else _loop)
        self.config = config
        self.app = config.loaded_app
        self.app_state = app_state
        self._collector = FieldCollector(MAX_HEADERS)
        # httptools asks for it once, when the parser is made.
        self.on_header = self._collector.add
        self.parser: Any = None
        self.method = self.url = b""
        self.headers: Headers = []
        self._missing = 0
        self._segment = self._fed = 0
        self._good_host: bytes | None = None
        self._begins = False
        self._wish: Match | None = None
        self._wishes: Headers = []
        self._socket: SocketTurn | None = None
        self._before_head = 0
        self._at = self._size = self._asked = 0

    # asyncio's side.

    def connection_lost(self, exc: Exception | None) -> None:
        Turns.connection_lost(self, exc)
        self.parser = None

    def data_received(self, data: bytes) -> None:
        if self._lingering or self._refusal is not None:
            return
        if self._socket is not None:
            self._socket.hear(data)
            return
        if self._waiting:
            self._pipelined += len(data)
        self._segment = len(data)
        self._fed += self._segment
        self._begins = not self._in_head and self.idle()
        try:
            if self._begins:
                data = self._begin(data)
            elif self._missing:
                data = self._go_on(data)
            if data:
                self._parse(data)
        except Exception as error:  # noqa: BLE001 - of this one request
            self.refuse(cause_of(error, self.logger))
            return
        if self._in_head:
            too_much = self._fed - self._before_head > MAX_HEAD + len(self.url) + REQUEST_LINE
        else:
            too_much = self._reading is not None and self._fed > MAX_UNREAD
        if too_much:
            self.refuse(HeaderTooLarge(f"The headers are larger than {MAX_HEAD} bytes."))
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
        turn = self.begun_turn(data)
        if turn is None:
            return data
        text = data
        self._count(turn)
        self._begins = False  # what follows does not begin with the segment
        at = self._at
        size = self._size
        end = at + size
        come = len(data)
        self._running = turn
        if end > come or size > LARGE:
            self._reading = turn
            self._missing = size
            self._begun_at = self.loop.time()
            self._body_size = 0
            self._fed = self._segment
            turn.begin()
            return self._go_on(data[at:])
        try:
            self._serve(turn, text[at:end])
        except Exception:
            self._reading = turn  # the one that the error is about
            raise
        return data[end:] if end < come else b""

    def _count(self, turn: Turn) -> None:
        self._asked += 1
        if self._asked >= MAX_REQUESTS:
            turn.closes = True

    def _serve(self, turn: Turn, body: bytes) -> None:
        """Answer a request that has come whole."""
        if body:
            turn.take(body)
        turn.whole()
        turn.begin()

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
        if self.parser is None:
            self._take_parser()
        left: bytes | memoryview = data
        while left:
            try:
                self.parser.feed_data(left)
                return
            except httptools.HttpParserUpgrade as upgrade:
                left = memoryview(left)[upgrade.args[0] :]
            self._read_again()
            if self._socket is not None:
                if left:
                    self._socket.hear(bytes(left))
                return

    def _take_parser(self) -> None:
        """A fresh one. What comes behind a request that closes the connection is bounded, and never a request."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _read_again(self) -> None:
        """Read a head that asked for an upgrade once more, without that wish, of which a WebSocket's is kept. Raises
        InvalidHTTP, HttpParserError, UpgradeRequired.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise InvalidHTTP("This is no forward proxy.", status=405)
        version: str = self.parser.get_http_version()
        self._wishes, self._wish = self.headers, wished(method, version, self.url, self.headers)
        self._take_parser()
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
        if b"transfer-encoding" in index:
            check_coding(headers, version)
        if host is not None and host != self._good_host:
            self._good_host = checked_host(host)
        self.method = parser.get_method()
        wish, self._wish = self._wish, None
        if wish is not None and self.speaks_websocket():
            socket = self._socket = self.socket_for(wish, self._wishes)
            turn: Turn = socket
        else:
            turn = self.turn_for(index, version, keeps_alive)
        self._reading = turn
        self._count(turn)
        if self._running is None and not self._waiting and not self._full:
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

    def pause_writing(self) -> None:
        Turns.pause_writing(self)
        if self._socket is not None:
            self._socket.takes(False)

    def resume_writing(self) -> None:
        Turns.resume_writing(self)
        if self._socket is not None:
            self._socket.takes(True)

    def begun_turn(self, data: bytes) -> Turn | None:
        """The turn of the request that `data` begins with: the size of its body and where that begins are kept. None
        where the head is not of the common form. Raises InvalidHTTP.
        """
        scanned = scan(data)
        if scanned is None:
            return None
        self.method, self.url, self.headers, self._size, self._at = scanned
        index = index_fields(self.headers)
        if index[b"host"] != self._good_host:
            self._good_host = checked_host(index[b"host"])
        return self.turn_for(index, "1.1", True)

    def turn_for(self, index: dict[bytes, bytes], version: str, keeps_alive: bool) -> Turn:
        """The turn of the request whose head is complete. Raises InvalidHTTP."""
        check_target(self.url, self.method)
        return AsgiTurn(self, index, version, keeps_alive)

    def speaks_websocket(self) -> bool:
        """Whether a client's wish for a WebSocket is heard."""
        return self.websockets().enabled

    def websockets(self) -> Websockets:
        """The settings at hand."""
        app: EdgeApplication = self.config.app  # type: ignore[assignment]
        return app.gateway.state.settings.websockets

    def socket_for(self, wish: Match, headers: Headers) -> SocketTurn:
        """The turn of a request for a WebSocket, which has these headers. Raises UpgradeRequired, InvalidHTTP."""
        return AsgiSocketTurn(self, headers)

    # Refusals.

    def refuse(self, error: EdgeError) -> None:
        """Answer with an error, after the answers that are due before it, and close."""
        asked = self._collector.fields if self._in_head else self.headers
        self._refusal = refusal(error, asked, self.url, self.server_state.default_headers)
        broken = self._reading
        if broken is not None:
            # The request whose body will never be whole.
            if broken.ended:
                self._finish()
                return
            if broken.begun:
                self.transport.abort()  # two answers to one request would be none
                return
            if broken is self._running:
                self._running = None
            else:
                self._waiting.remove(broken)
            broken.lost()
        self._advance()
