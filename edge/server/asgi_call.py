"""A call that comes over ASGI: its reply is collected, and handed to the server when that takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from edge.certificates import SCOPE
from edge.clock import perf_counter
from edge.errors import ClientClosedRequest, Headers
from edge.head import Head, varying_of
from edge.replies import ClientCall
from edge.reply import STREAM
from edge.reply_fields import pairs_of
from edge.routes import Match
from edge.server.turn import LEAVING

if TYPE_CHECKING:
    from edge.server.asgi import EdgeApplication

__all__ = ["AsgiCall", "Send"]

Send = Callable[[dict[str, Any]], Awaitable[None]]


class AsgiCall(ClientCall):
    """Collects the reply; ``drain`` hands it to the server. ``is_over``: what was fetched for it is at its end;
    ``comes``: more of its body is wanted.
    """

    def __init__(self, app: EdgeApplication, found: Match, scope: dict[str, Any], send: Send) -> None:
        client = scope.get("client")
        raw_path: bytes = scope["raw_path"]
        query: bytes = scope.get("query_string", b"")
        headers: Headers = scope["headers"]
        head = Head(found, scope["method"], raw_path + b"?" + query if query else raw_path, query, headers)
        super().__init__(head, varying_of(headers), client[0] if client else "", perf_counter(), app.gateway.state)
        self.certificate = scope.get(SCOPE, ())
        self.declared = declared_size(head, headers)
        self._app = app
        self._send = send
        self._head: dict[str, Any] | None = None
        self._body: list[bytes] = []
        self.is_over = asyncio.Event()
        self.comes = asyncio.Event()
        self.comes.set()
        if LEAVING in scope:
            scope[LEAVING].tell = self.comes.set
        self._complete = False
        self._pushing: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._room: Callable[[], None] | None = None
        self._sending = asyncio.Lock()
        self._whole = self._aborted = False

    def start(self, status: int, lines: bytes, size: int) -> None:
        headers = pairs_of(lines)
        if size != STREAM:
            headers.insert(0, (b"content-length", b"%d" % size))
        if self.closes or self._app.gateway.draining:
            headers.append((b"connection", b"close"))
        self._head = {"type": "http.response.start", "status": status, "headers": headers}

    def write(self, data: bytes) -> None:
        self._body.append(data)

    def end(self) -> None:
        self._whole = True

    def abort(self) -> None:
        self._aborted = True

    def push(self) -> None:
        self._pushing = asyncio.create_task(self.drain())
        self._pushing.add_done_callback(seen)

    def idle(self) -> bool:
        return not self._body and not self._sending.locked()

    def congested(self) -> bool:
        return bool(self._body) or self._head is not None or self._sending.locked()

    def when_room(self, room: Callable[[], None] | None) -> None:
        self._room = room
        if room is not None and self._draining is None:
            self._draining = asyncio.create_task(self.drain())
            self._draining.add_done_callback(self._drained)

    def over(self, error: Exception | None) -> None:
        if error is not None:
            self._app.tell(self, error)
        self.is_over.set()

    def hold_back(self, back: bool) -> None:
        if back:
            self.comes.clear()
        else:
            self.comes.set()

    def left(self) -> None:
        """The client has left."""
        if not self.reply.over():
            self.reply.lost()
        self._app.gateway.cancel(self, ClientClosedRequest())

    def _drained(self, draining: asyncio.Task[None]) -> None:
        self._draining = None
        room, self._room = self._room, None
        if draining.cancelled() or draining.exception() is not None:
            self.left()  # a server that says so by an error
        elif room is not None:
            room()

    async def drain(self) -> None:
        """Hand over what was written; waits while the client does not take it."""
        if self.reply.broken() and not self._aborted:
            return
        async with self._sending:  # what was interjected may still be on its way
            if self._head is not None:
                head, self._head = self._head, None
                await self._send(head)
            body, self._body = self._body, []
            data = body[0] if len(body) == 1 else b"".join(body)
            if self._complete or self._aborted:
                return
            if data or self._whole:
                self._complete = self._whole
                await self._send({"type": "http.response.body", "body": data, "more_body": not self._whole})


def seen(task: asyncio.Task[None]) -> None:
    """A client that has left is told to whoever fetches, not here."""
    if not task.cancelled():
        task.exception()


def declared_size(head: Head, headers: Headers) -> int | None:
    """The body's size by its Content-Length; None for a chunked one, 0 without a body."""
    if b"transfer-encoding" in head.index:
        return None
    return next((int(value) for name, value in headers if name == b"content-length" and value), 0)
