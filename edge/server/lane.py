"""The lane: API requests go from the parser straight to the gateway, past ASGI.

What can be answered at once is answered inside the parser's callback; what must wait is called back by what it waits
for. Other requests (health, metrics, pages, lists of models) go the ordinary way to the ASGI application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from edge._fast import JOINER
from edge.clock import perf_counter
from edge.errors import ClientClosedRequest, EdgeError, Headers, RequestTooLarge
from edge.head import Head, Varying, varying_of
from edge.intake import Intake
from edge.replies import ClientCall
from edge.reply import STREAM
from edge.reply_fields import lines_of
from edge.routes import ROUTES, Match, match
from edge.server.asgi import DRAINED, EdgeApplication
from edge.server.heads import Heads
from edge.server.protocol import EdgeProtocol
from edge.server.request_head import HEAD, check_target
from edge.server.turn import SocketTurn, Turn

__all__ = ["Lane"]

JOINED = 65536
"""Up to this size a reply is one write, head and body."""
SIZED, UNSIZED = b"content-length: ", b""
"""The last of what a reply starts with, before the size of its body, if that is known."""
HEADS = Heads()
"""Those of all connections: what a head says is a matter of its bytes alone."""

KNOWN: dict[bytes, Match] = {
    path: found
    for route, spoken in ((f"{prefix}/{name}", ROUTES[name]) for name in ROUTES for prefix in ("", "/v1"))
    if spoken.method == "POST"
    for path in (route.encode(), b"/openai" + route.encode(), b"/anthropic" + route.encode())
    if (found := match(path)) is not None
}
"""The targets of well-behaved clients, so that they need not be taken apart."""


class Starts:
    """What replies start with, by status and framing: made anew when the server's own headers, of which the date is
    one, are others.
    """

    def __init__(self) -> None:
        self._headers: object = None
        self._known: dict[tuple[int, bytes], bytes] = {}
        self._status, self._framing, self._latest = 0, b"", b""

    def of(self, headers: list[tuple[bytes, bytes]], status: int, framing: bytes) -> bytes:
        if headers is not self._headers:
            self._headers = headers
            self._known.clear()
        elif status == self._status and framing is self._framing:
            return self._latest
        asked = (status, framing)
        start = self._known.get(asked)
        if start is None:
            start = self._known[asked] = STATUS_LINE[status] + lines_of(headers) + framing
        self._status, self._framing, self._latest = status, framing, start
        return start


STARTS = Starts()


class Lane(EdgeProtocol):
    """A client connection whose API requests skip ASGI.

    ``known``: the head that what comes next most likely begins with, which is the last that was kept.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        EdgeProtocol.__init__(self, config, server_state, app_state, _loop)
        self.edge: EdgeApplication = config.app  # type: ignore[assignment]
        self.gateway = self.edge.gateway
        self.peer = ""
        self.known: Head | None = None
        self._scanned = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.known = HEADS.latest
        EdgeProtocol.connection_made(self, transport)
        self.peer = self.client[0] if self.client else ""

    def begun_turn(self, data: bytes) -> Turn | None:
        heads, known = HEADS, self.known
        at = heads.find(known, data)
        if known is None or not at:
            self._scanned = True  # the head is the one that `HEAD` reads now
            try:
                return EdgeProtocol.begun_turn(self, data)
            finally:
                self._scanned = False
        form = known.form
        assert form is not None  # noqa: S101 - it has just been found by it
        self.method = b"POST"
        self.url = known.target
        self.headers = known.headers
        self._at = at
        self._size = max(form.content_length, 0)
        call = LaneCall.__new__(LaneCall)
        call.enter(self, known, form.take(), self._size)
        return call

    def _serve(self, turn: Turn, body: bytes) -> None:
        if not isinstance(turn, LaneCall):
            EdgeProtocol._serve(self, turn, body)
            return
        call = turn
        if body:
            call.take(body)
        call.whole()
        call.begin()

    def resume_writing(self) -> None:
        EdgeProtocol.resume_writing(self)
        call = self._running
        if isinstance(call, LaneCall) and call.room is not None:
            room, call.room = call.room, None
            room()

    def socket_for(self, wish: Match, headers: Headers) -> SocketTurn:
        from edge.server.lane_socket import LaneSocket  # which is a call of a lane

        return LaneSocket(self, wish, headers)

    def turn_for(self, index: dict[bytes, bytes], version: str, keeps_alive: bool) -> Turn:
        if self.method != b"POST":
            return EdgeProtocol.turn_for(self, index, version, keeps_alive)
        target = self.url
        query = b""
        found = KNOWN.get(target)
        if found is None:
            check_target(target, b"POST")
            url = httptools.parse_url(target)
            found = match(url.path or b"/")
            if found is None:
                return EdgeProtocol.turn_for(self, index, version, keeps_alive)
            query = url.query or b""
        if self._scanned:
            head = HEADS.learn(HEAD, found, target, query, self.headers)
            if head.form is not None:
                self.known = head
        else:
            head = Head(found, "POST", target, query, self.headers)
        size: int | None = None if b"transfer-encoding" in index else int(index.get(b"content-length") or 0)
        call = LaneCall(self, head, varying_of(self.headers), size)
        call.chunks = version == "1.1"
        call.closes = not keeps_alive
        return call


class LaneCall(ClientCall):
    """A call that is its own turn on a connection.

    ``chunks``: the client understands them (RFC 9112, section 7.1: since HTTP/1.1).
    """

    def __init__(self, lane: Lane, head: Head, varying: Varying, declared: int | None) -> None:
        self.enter(lane, head, varying, declared)

    def enter(self, lane: Lane, head: Head, varying: Varying, declared: int | None) -> None:
        """As it is made: its head is complete."""
        self.arrive(head, varying, lane.peer, perf_counter(), lane.gateway.state)
        self.certificate = lane.certificate
        self.lane = lane
        self.declared = declared
        self.chunks = True
        self._parts: BytesIO | None = None
        self.received = 0
        self.room: Callable[[], None] | None = None
        self._begun = False
        self.complete = False
        self._start = b""
        self._size = -1
        self._lines: bytes | None = None
        self._own = b""
        self._chunked = False

    # As a turn.

    @property
    def begun(self) -> bool:
        return self.reply.begun()

    @property
    def ended(self) -> bool:
        return self.reply.ended()

    def waited(self) -> None:
        self.ledger.upload_s = perf_counter() - self.received_at

    def begin(self) -> None:
        self._begun = True
        gateway = self.lane.gateway
        gateway.open(self)
        if self.reply.over():
            return
        state = self.state
        form = self._along()
        limit = state.max_body_bytes if form is None else state.max_form_bytes
        if self.declared is not None and self.declared > limit:
            gateway.refuse(self, RequestTooLarge(f"The body is larger than {limit} bytes."))
        elif form is not None and self.received:
            self._go_along(form)
        elif not self._fits(self.received):
            return
        elif self.complete:
            self._admit()
        elif not self.received and self.head.index.get(b"expect", b"").lower() == b"100-continue":
            self.lane.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _go_along(self, form: Intake) -> None:
        """With what has come of a form."""
        data, self.body = self._whole_body(), b""
        form.take(data)
        if self.complete:
            form.complete()

    def _along(self) -> Intake | None:
        """What takes a body in that is served while it comes, None for any other."""
        return self.form if self._begun and not self.head.coding else None

    def take(self, data: bytes) -> None:
        self.received += len(data)
        form = self._along()
        if form is not None:
            form.take(data)
            return
        if not self.body:
            self.body = data
        else:
            if self._parts is None:
                # A list of chunks of two bytes would take 28 times what they are. This gives its bytes away uncopied.
                self._parts = BytesIO()
                self._parts.write(self.body)
            self._parts.write(data)
        if self._begun:
            self._fits(len(data))

    def _fits(self, more: int) -> bool:
        """Whether so many bytes more of the body may be held; else it is refused."""
        state = self.state
        gateway, limit = self.lane.gateway, state.max_body_bytes
        try:
            if self.received > limit:
                raise RequestTooLarge(f"The body is larger than {limit} bytes.")
            gateway.hold(self, more)
        except EdgeError as error:
            self._parts, self.body = None, b""
            self._uploaded()
            gateway.refuse(self, error)
            return False
        return True

    def whole(self) -> None:
        form = self._along()
        if form is not None:
            self.complete = True
            form.complete()
            return
        if self._begun:
            self._uploaded()
        self.complete = True
        if self._begun:
            self._admit()

    def _uploaded(self) -> None:
        """No more comes of a body that was still to come: what it took is not the edge's own time."""
        if not self.complete:
            self.ledger.upload_s = perf_counter() - self.received_at

    def lost(self) -> None:
        if self.reply.over():
            return
        if self._begun and self._along() is None:
            self._uploaded()
        self.reply.lost()
        self.lane.gateway.cancel(self, ClientClosedRequest())

    def _whole_body(self) -> bytes:
        if self._parts is not None:
            self.body = self._parts.getvalue()
            self._parts = None
        return self.body

    def hold_back(self, back: bool) -> None:
        self.lane.hold_back(back)

    def _admit(self) -> None:
        self.body = self._whole_body()
        gateway = self.lane.gateway
        gateway.admit(self)
        if not self.reply.over():
            gateway.fetch(self)

    def over(self, error: Exception | None) -> None:
        if error is not None:
            self.lane.edge.tell(self, error)

    # As a sink.

    def start(self, status: int, lines: bytes, size: int) -> None:
        lane = self.lane
        if not self.complete and (self.declared is None or self.declared > DRAINED):
            self.closes = True
        if size != STREAM:
            self._size = size
            framing = SIZED
        elif self.chunks:
            self._chunked = True
            framing = UNSIZED
            self._own = b"transfer-encoding: chunked\r\n"
        else:
            self.closes = True
            framing = UNSIZED
        if self.closes or lane.gateway.draining:
            self.closes = True
            self._own += b"connection: close\r\n"
        elif not self.chunks:
            self._own += b"connection: keep-alive\r\n"  # RFC 9112, section 9.3: HTTP/1.0 has to be told
        starts = STARTS
        self._start = starts.of(lane.server_state.default_headers, status, framing)
        self._lines = lines

    def write(self, data: bytes) -> None:
        if self._chunked and data:
            data = JOINER.chunk(data)
        if self._lines is not None:
            lines, self._lines = self._lines, None
            if len(data) <= JOINED:
                data = JOINER.message(self._start, self._size, lines, self._own, data)
            else:
                self.lane.transport.write(JOINER.message(self._start, self._size, lines, self._own, b""))
        self.lane.transport.write(data)

    def end(self) -> None:
        if self._lines is not None:
            self.write(b"")
        if self._chunked:
            self.lane.transport.write(b"0\r\n\r\n")
        self.lane.done(self.closes)

    def abort(self) -> None:
        self.lane.transport.abort()

    def congested(self) -> bool:
        return self.lane._full

    def when_room(self, room: Callable[[], None] | None) -> None:
        self.room = room
