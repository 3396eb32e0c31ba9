"""The ASGI application: API routes go raw to the gateway, everything else to BlackSheep's router.

uvicorn neither cancels the application when the client leaves nor lets ``send()`` fail, so a watcher waits on
``receive()`` beside every ``fetch``, from before the first byte to after the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from time import time
from typing import Any

from blacksheep import Application

from edge.call import Call
from edge.clock import perf_counter
from edge.config import Config, is_loopback
from edge.config.file import resolve
from edge.errors import (
    AdminRequired,
    ClientClosedRequest,
    EdgeError,
    Headers,
    RequestTooLarge,
    ShuttingDown,
    UnsupportedMediaType,
)
from edge.guard.auth import says_json
from edge.head import Head, varying_of
from edge.intake import Intake
from edge.routes import PROBES, SOCKET_PATHS, UNKNOWN, Match, match
from edge.server.access import PUBLIC
from edge.server.asgi_call import AsgiCall, Send
from edge.server.asgi_socket import AsgiSocket
from edge.server.compose import Edge, compose, tell_notes
from edge.server.levels import Levels
from edge.server.live import Changes, changed
from edge.server.pages import build_pages, safely
from edge.state import Load
from edge.telemetry.logs import where

__all__ = ["EdgeApplication", "create_app"]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]

ALL_METHODS = ((b"allow", b"GET, HEAD, POST, DELETE, OPTIONS"), (b"content-length", b"0"))
DRAINED = 65536
"""A refused request's unread body is read off up to this many bytes, to keep the connection; for a larger one the
connection is closed."""


def create_app() -> EdgeApplication:
    """The application for any ASGI server, configured by the file EDGE_CONFIG names or the environment's keys.

    Raises `edge.config.file.ConfigError`.
    """
    reading = resolve(None)
    edge = compose(reading.config)
    tell_notes(reading.notes, edge.logs.log)
    return EdgeApplication(edge)


class EdgeApplication:
    """Serves an `Edge` over ASGI, and health, metrics and pages beside its API."""

    def __init__(self, edge: Edge) -> None:
        self.gateway, self.metrics, self.logs = edge.gateway, edge.metrics, edge.logs
        self._health, self._issuer, self._trace = edge.health, edge.issuer, edge.trace
        self._tracing = edge.tracing
        self.ready = False
        self.changes = Changes(time())
        self._reloading: set[asyncio.Task[None]] = set()
        self.levels = Levels(edge.gateway, edge.metrics, edge.logs, edge.recent)
        self._pages = build_pages(self, edge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._speak(scope, receive, send)
            return
        if scope["type"] == "http":
            path: bytes = scope["raw_path"]
            if path == b"*":
                # RFC 9110, section 9.3.7: what the server can do at all, which is no secret.
                await send({"type": "http.response.start", "status": 200, "headers": list(ALL_METHODS)})
                await send({"type": "http.response.body", "body": b""})
                return
            found = match(path)
            if scope["method"] == "HEAD" and path in PROBES:
                await self._pages({**scope, "path": "/", "raw_path": b"/"}, receive, send)
                return
            if found is not None:
                await self._serve(AsgiCall(self, found, scope, send), receive)
                return
            if path not in PUBLIC and not await self._admits(AsgiCall(self, Match(UNKNOWN, "openai"), scope, send)):
                return
        await self._pages(scope, receive, safely(send))

    async def _speak(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Over a WebSocket."""
        found = SOCKET_PATHS.get(scope["raw_path"])
        if found is None or not self.gateway.state.settings.websockets.enabled:
            await send({"type": "websocket.close"})  # which a server answers the handshake by: 403
            return
        await AsgiSocket(self, found, scope, send).serve(receive)

    # The API.

    async def _serve(self, call: AsgiCall, receive: Receive) -> None:
        try:
            await self._answer(call, receive)
        finally:
            # Servers may cancel an application whose client has left, and `receive` may raise.
            self.gateway.cancel(call, ClientClosedRequest())

    async def _answer(self, call: AsgiCall, receive: Receive) -> None:
        gateway = self.gateway
        size = call.declared
        call.closes = size is None or size > DRAINED
        gateway.open(call)
        if call.form is not None and not call.head.coding and not call.reply.over():
            await self._go_along(call, call.form, receive)
            return
        if not call.reply.over() and await self._receive_body(call, receive, size):
            gateway.admit(call)
        if call.reply.broken():
            return
        if call.reply.over():
            await call.drain()
            return
        await self._fetch(call, receive)

    async def _go_along(self, call: AsgiCall, form: Intake, receive: Receive) -> None:
        """Serve a form while it comes."""
        taking = asyncio.create_task(self._take(call, form, receive))
        try:
            await call.is_over.wait()
            await call.drain()
        finally:
            taking.cancel()

    async def _take(self, call: AsgiCall, form: Intake, receive: Receive) -> None:
        try:
            await self._receive_form(call, form, receive)
        except Exception:  # noqa: BLE001 - a server that says by an error that the client has left
            call.left()
        call.is_over.set()

    async def _receive_form(self, call: AsgiCall, form: Intake, receive: Receive) -> None:
        """Hand on what comes of a form; then see whether the client leaves."""
        size, limit, more = call.declared, call.state.max_form_bytes, True
        if size is not None and size > limit:
            self.gateway.refuse(call, RequestTooLarge(f"The body is larger than {limit} bytes."))
        while more and not call.settled:
            await call.comes.wait()
            message = await receive()
            if message["type"] == "http.disconnect":
                call.left()
                return
            form.take(message.get("body", b""))
            more = message.get("more_body", False)
        if not more:
            call.closes = False
            form.complete()
        if not call.settled:
            await self._watch(call, receive)

    async def _receive_body(self, call: AsgiCall, receive: Receive, size: int | None) -> bool:
        """Read the body; False if it is too large (answered) or the client left."""
        limit = call.state.max_body_bytes
        body = BytesIO()
        first = b""
        received = 0
        more = size is None or size <= limit
        while more:
            message = await receive()
            call.ledger.upload_s = perf_counter() - call.received_at
            if message["type"] == "http.disconnect":
                call.left()
                return False
            data: bytes = message.get("body", b"")
            received += len(data)
            if not first:
                first = data
            else:
                if not body.tell():
                    body.write(first)
                body.write(data)
            try:
                self.gateway.hold(call, len(data))
            except EdgeError as error:
                self.gateway.refuse(call, error)
                return False
            more = message.get("more_body", False) and received <= limit
        if max(received, size or 0) > limit:
            self.gateway.refuse(call, RequestTooLarge(f"The body is larger than {limit} bytes."))
            return False
        call.closes = False
        call.body = body.getvalue() or first
        return True

    async def _fetch(self, call: AsgiCall, receive: Receive) -> None:
        """Get the answer; ends if the client leaves, and what it has written."""
        watching = asyncio.create_task(self._watch(call, receive))
        try:
            self.gateway.fetch(call)
            await call.is_over.wait()
            await call.drain()
        finally:
            watching.cancel()

    async def _watch(self, call: AsgiCall, receive: Receive) -> None:
        """Cancel what is fetched when the client leaves."""
        while (await receive())["type"] != "http.disconnect":
            pass
        if not call.reply.over():
            call.left()

    def tell(self, call: Call, error: Exception) -> None:
        """Log what should not have happened to a call; its client has its 500."""
        self.logs.log.error("internal error", request_id=call.request_id, error=where(error))

    @property
    def draining(self) -> bool:
        return self.gateway.draining

    # Beginning, changing, ending.

    def reload(self, load: Load, prepared: Callable[[Config], None]) -> None:
        """Serve new requests by another configuration; the parameters are those of `Gateway.reload`."""
        old = self.gateway.state.settings

        def noted(new: Config) -> None:
            prepared(new)
            self._tracing.adjust(new.telemetry.tracing)
            self.changes = Changes(self.changes.serving, time(), changed(old, new))

        task = asyncio.create_task(self.gateway.reload(load, noted))
        self._reloading.add(task)
        task.add_done_callback(self._reloaded)

    def _reloaded(self, task: asyncio.Task[None]) -> None:
        self._reloading.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.logs.log.error("reload failed, the old configuration stays", error=type(error).__name__)

    def drain(self) -> None:
        """Not ready any more; every answer from now on closes its connection."""
        self.ready = False
        self.gateway.draining = True

    def interrupt(self) -> None:
        """End what is still running: streams in an error event, other answers with a 503."""
        for call in list(self.gateway.under_way):
            if not call.reply.over():
                self.gateway.cancel(call, ShuttingDown())

    # Beside the API.

    async def _admits(self, call: AsgiCall) -> bool:
        """Whether this request may see metrics and pages: by an admin key; without keys, from this machine."""
        gateway = self.gateway
        auth = call.state.auth
        try:
            key = auth.identify(call.head, call.varying, call.certificate)
            if key is None:
                raise gateway.logins.no_key(call)
            call.key = key
            if auth.open and call.peer and not is_loopback(call.peer):
                raise AdminRequired("Without API keys, this answers the gateway's own machine only.")
            if not auth.open and not call.key.admin:
                raise AdminRequired
            # A web page may have a browser send what a form can say, with the certificate that the browser has.
            if call.head.method == "POST" and not says_json(call.head.index.get(b"content-type")):
                raise UnsupportedMediaType
        except EdgeError as error:
            call.closes = True
            gateway.refuse(call, error)
            await call.drain()
            return False
        return True

    def administers(self, headers: Headers, certificate: tuple[bytes, ...]) -> bool:
        """Whether who has sent these, by a connection with these credentials, is an admin now; without keys, whoever
        was let in.
        """
        auth, head = self.gateway.state.auth, Head(Match(UNKNOWN, "openai"), "GET", b"/", b"", headers)
        try:
            key = auth.identify(head, varying_of(headers), certificate)
        except EdgeError:
            return False
        return key is not None and (auth.open or key.admin)

    async def start(self, _: Application) -> None:
        self.logs.start()
        if self._trace is not None:
            self._trace.start()
        self._tracing.start()
        await self.gateway.answers.start()
        self._health.start()
        self._issuer.start()
        self.levels.start()
        self.ready = True

    async def stop(self, _: Application) -> None:
        self.ready = False
        self._health.stop()
        self._issuer.stop()
        self.levels.stop()
        for task in self._reloading:
            task.cancel()
        await self.gateway.close()
        await self.gateway.answers.close()
        if self._trace is not None:
            self._trace.stop()
        self._tracing.stop()
        self.logs.stop()
