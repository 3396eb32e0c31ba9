"""A turn that becomes a WebSocket which the ASGI application answers: uvicorn's own protocol speaks it."""

from __future__ import annotations

from asyncio import BaseTransport
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from edge.certificates import SCOPE
from edge.errors import Headers
from edge.server.asgi_socket import PENDING
from edge.sockets.ends import AT_ONCE, MAX_EARLY
from edge.sockets.handshake import handshake
from edge.sockets.peer import PONG, Frame

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

    from edge.server.protocol import EdgeProtocol

__all__ = ["AsgiSocketTurn"]


class Inner(WebSocketsSansIOProtocol):
    """uvicorn's, which takes a handshake that was refused by an answer for one that nobody has answered, hears all that
    has come in one turn of the loop, and keeps more in memory than a client has to send.
    """

    _behind = b""
    """What has come and is still to be heard. Nothing is read meanwhile."""
    _hears = False
    pends: Callable[[int], None] | None = None
    """Is told how many bytes are held of messages that the application has not taken."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._sizes: deque[int] = deque()
        self._queued = self._pending = 0

    def data_received(self, data: bytes) -> None:
        if self._behind:
            self._behind += data  # it was on its way
        else:
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        """The beginning of it; the rest once the application has taken what is in that."""
        self._behind = data[AT_ONCE:]
        super().data_received(data[:AT_ONCE])
        if self.transport.is_closing():
            self._behind = b""
        if self._behind and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
        self._tell_pending()
        self._go_on()

    def _tell_pending(self) -> None:
        pending = len(self.conn.reader.buffer) + sum(map(len, self.frames)) + self._queued + len(self._behind)
        if pending != self._pending:
            self._pending = pending
            if self.pends is not None:
                self.pends(pending)

    def send_receive_event_to_app(self) -> None:
        if not self.close_sent:
            size = sum(map(len, self.frames))
            self._sizes.append(size)
            self._queued += size
        super().send_receive_event_to_app()

    def _go_on(self) -> None:
        """In another turn, where something is behind, and nothing waits for the application, or that hears no more."""
        if self._behind and not self._hears and (self.queue.empty() or self.close_sent):
            self._hears = True
            self.loop.call_soon(self._hear_on)

    def _hear_on(self) -> None:
        self._hears = False
        behind, self._behind = self._behind, b""
        if not self.transport.is_closing():
            self._hear(behind)
            self._read_on()

    def _read_on(self) -> None:
        if self.read_paused and not self._behind and (self.queue.empty() or self.close_sent):
            self.read_paused = False
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if message["type"] == "websocket.receive":
            self._queued -= self._sizes.popleft()
            self._tell_pending()
        self._go_on()
        self._read_on()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        self._go_on()
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True
        elif message["type"] == "websocket.accept":
            self.accepted()

    def accepted(self) -> None:
        """The handshake is answered. Who speaks by it overrides this."""

    def handle_ping(self) -> None:
        """A client that does not take what was written gets no more pongs: they would wait in memory."""
        written = self.conn.data_to_send()
        if not self.writable.is_set():
            written = [data for data in written if data[:1] != PONG]
        self.transport.write(b"".join(written))

    def handle_cont(self, event: Frame) -> None:
        """A message in very many frames takes no more than its bytes: uvicorn keeps each frame as an object."""
        parts = self.frames
        if not isinstance(parts[0], bytearray):
            parts[0] = bytearray(parts[0])  # type: ignore[call-overload]
        parts[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def connection_lost(self, exc: Exception | None) -> None:
        # It calls this a close without a code.
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006, "reason": ""})
        super().connection_lost(exc)


class AsgiSocketTurn:
    """The connection stays its protocol's, which hands on what comes."""

    closes = True

    def __init__(self, protocol: EdgeProtocol, headers: Headers) -> None:
        """Raises UpgradeRequired, InvalidHTTP."""
        handshake(headers)
        self._protocol = protocol
        lines = [b"GET %b HTTP/1.1" % protocol.url, *[b"%b: %b" % pair for pair in headers], b"", b""]
        self._head = b"\r\n".join(lines)
        self._early = b""
        self._inner: Inner | None = None

    @property
    def begun(self) -> bool:
        return False

    @property
    def ended(self) -> bool:
        return False

    def waited(self) -> None:
        """Nothing of it is timed here."""

    def begin(self) -> None:
        protocol = self._protocol
        config = protocol.config
        # Of all connections of this server alike.
        config.ws_max_size = protocol.websockets().max_message_bytes
        config.ws_per_message_deflate = False
        config.ws_ping_interval = None
        inner = self._inner = Inner(config, protocol.server_state, protocol.app_state, protocol.loop)
        inner.connections = set()  # that is its protocol's
        app, certificate = inner.app, protocol.certificate

        async def certified(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, SCOPE: certificate, PENDING: inner}, receive, send)

        inner.app = certified
        inner.connection_made(protocol.transport)
        inner.data_received(self._head)
        inner.accepted = self._hear_early  # type: ignore[method-assign]

    def take(self, data: bytes) -> None:
        """It has no body."""

    def whole(self) -> None:
        """It has no body."""

    def hear(self, data: bytes) -> None:
        """Bytes behind the head."""
        if self._inner is not None and self._inner.handshake_complete:
            self._inner.data_received(data)
            return
        self._early += data
        if len(self._early) > MAX_EARLY:
            self._protocol.transport.abort()

    def _hear_early(self) -> None:
        """What has come before the handshake was answered."""
        early, self._early = self._early, b""
        if early and self._inner is not None:
            self._inner.data_received(early)

    def takes(self, more: bool) -> None:
        if self._inner is not None:
            (self._inner.resume_writing if more else self._inner.pause_writing)()

    def lost(self) -> None:
        if self._inner is not None:
            self._inner.connection_lost(None)
