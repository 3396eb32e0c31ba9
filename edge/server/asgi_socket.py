"""A client's WebSocket that comes over ASGI: a call whose messages are handed to the server when that takes them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from edge.certificates import SCOPE
from edge.clock import perf_counter
from edge.errors import ClientClosedRequest
from edge.head import Head, varying_of
from edge.relaying import relay
from edge.replies import ClientCall
from edge.reply import STREAM
from edge.reply_fields import pairs_of
from edge.routes import Match
from edge.server.asgi_call import Send
from edge.sockets.handshake import SPOKEN, without_secrets
from edge.sockets.peer import NO_STATUS, Closed, Message

if TYPE_CHECKING:
    from edge.server.asgi import EdgeApplication
    from edge.sockets.relay import Relay

__all__ = ["PENDING", "AsgiSocket"]

PENDING = "edge.pending"
"""In a scope of our own server: its connection, which tells ``pends`` how many bytes of messages it holds."""

HIGH = 65536
"""Bytes that wait for the server to take them, above which more are to wait at the provider."""
AT_ONCE = 64
"""Messages after which others have their turn: a server has them ready, and is never waited for."""


class AsgiSocket(ClientCall):
    """One end of its relay. ``serve`` is the ASGI application of its scope."""

    def __init__(self, app: EdgeApplication, found: Match, scope: dict[str, Any], send: Send) -> None:
        client = scope.get("client")
        query: bytes = scope.get("query_string", b"")
        raw_path: bytes = scope["raw_path"]
        headers = without_secrets([pair for pair in scope["headers"] if pair[0] not in (b"upgrade", b"connection")])
        head = Head(found, "GET", raw_path + b"?" + query if query else raw_path, query, headers)
        super().__init__(head, varying_of(headers), client[0] if client else "", perf_counter(), app.gateway.state)
        self.certificate = scope.get(SCOPE, ())
        self._gateway = app.gateway
        self._app = app
        self._send = send
        self._tells_why = "websocket.http.response" in scope.get("extensions", {})
        self._protocol = SPOKEN if SPOKEN in scope.get("subprotocols", ()) else ""
        self._out: deque[tuple[dict[str, Any], int]] = deque()
        self._waits = 0
        self._written = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        self._relay: Relay | None = None
        if PENDING in scope:
            scope[PENDING].pends = self._pends
        self._accepted = self._ended = False
        self._text = True

    async def serve(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        """To the end of the connection."""
        if (await receive())["type"] != "websocket.connect":
            return
        gateway = self._gateway
        gateway.open(self)
        if not self.reply.over():
            self._relay = relay(gateway, self, self, self._protocol)
        reading = asyncio.create_task(self._read(receive))
        reading.add_done_callback(self._has_read)
        try:
            await self._write()
        finally:
            reading.cancel()
            if not self.reply.over():
                self.reply.lost()
            gateway.cancel(self, ClientClosedRequest())

    async def _read(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        """What the client says, as long as somebody hears it."""
        heard = 0
        while True:
            if heard % AT_ONCE == 0:
                await asyncio.sleep(0)
            heard += 1
            await self._reads.wait()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                break
            if self._relay is not None and not self._ended:
                text = message.get("text")
                said = Message(text.encode(), True) if text is not None else Message(message["bytes"], False)
                self._relay.came(self, said)
        code = message.get("code", NO_STATUS)
        if self._relay is not None and not self._ended and self._accepted:
            broke = code in (1002, 1007, 1009)  # the server has told that to a client that broke the protocol
            self._relay.gone(self, Closed(code, message.get("reason") or "", broke))
        elif not self.reply.over():
            self.reply.lost()
            self._gateway.cancel(self, ClientClosedRequest())
        self._ended = True
        self._written.set()

    def _has_read(self, reading: asyncio.Task[None]) -> None:
        """To the end, or to a defect of ours."""
        if not reading.cancelled() and (defect := reading.exception()) is not None and self._relay is not None:
            self._relay.fail(defect)

    def _pends(self, size: int) -> None:
        if self._relay is not None and not self._ended:
            self._relay.holds(self, size)

    async def _write(self) -> None:
        """What is said to the client, when the server takes it."""
        while True:
            while self._out:
                message, size = self._out.popleft()
                await self._send(message)
                full, self._waits = self.full(), self._waits - size
                if full and not self.full() and self._relay is not None and not self._ended:
                    self._relay.room(self)
            if self._ended:
                return
            self._written.clear()
            await self._written.wait()

    def _put(self, message: dict[str, Any], size: int = 0) -> None:
        self._waits += size
        self._out.append((message, size))
        self._written.set()

    # As a sink.

    def start(self, status: int, lines: bytes, size: int) -> None:
        headers = pairs_of(lines)
        if status == 101:
            self._accepted = True
            self._put({"type": "websocket.accept", "subprotocol": self._protocol or None, "headers": headers})
        elif self._tells_why:
            if size != STREAM:
                headers.insert(0, (b"content-length", b"%d" % size))
            self._put({"type": "websocket.http.response.start", "status": status, "headers": headers})

    def write(self, data: bytes) -> None:
        """A message, or the body of a refusal."""
        if self._accepted:
            said = {"text": data.decode("utf-8", "replace")} if self._text else {"bytes": data}
            self._put({"type": "websocket.send", **said}, len(data))
        elif self._tells_why:
            self._put({"type": "websocket.http.response.body", "body": data, "more_body": False})

    def end(self) -> None:
        if not self._accepted:
            if not self._tells_why:
                self._put({"type": "websocket.close"})
            self._ended = True
            self._written.set()

    def abort(self) -> None:
        self._ended = True
        self._written.set()

    def congested(self) -> bool:
        return self._waits > HIGH

    def when_room(self, room: object) -> None:
        """Who relays is told by the relay's own end."""

    def over(self, error: Exception | None) -> None:
        if error is not None:
            self._app.tell(self, error)

    # As an end.

    def say(self, message: Message) -> None:
        if not self._ended:
            self._text = message.text
            self.reply.write(message.data)

    def close(self, code: int, reason: str) -> None:
        if not self._ended:
            self._put({"type": "websocket.close", "code": 1000 if code == NO_STATUS else code, "reason": reason})
            self._ended = True
            self._written.set()

    def full(self) -> bool:
        return self.congested()

    def pause(self) -> None:
        self._reads.clear()

    def resume(self) -> None:
        self._reads.set()
