"""A turn that the ASGI application answers, by uvicorn's own cycle of request and response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, is_ssl

from edge.certificates import SCOPE
from edge.server.turn import LEAVING, Leaving

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

    from edge.server.protocol import EdgeProtocol

__all__ = ["AsgiTurn"]


class OldCycle(RequestResponseCycle):
    """The cycle of an HTTP/1.0 request, which uvicorn's answers as if it were a newer one.

    HTTP/1.0 knows no chunks (RFC 9112, section 7.1): an answer of unknown size ends with its connection. A connection
    that is kept is said to be (section 9.3).
    """

    _sized = True

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            names = {name.lower() for name, _ in headers}
            self._sized = b"content-length" in names
            if not self._sized:
                self.chunked_encoding = False
                self.keep_alive = False
            elif self.keep_alive and b"connection" not in names:
                message = {**message, "headers": [*headers, (b"connection", b"keep-alive")]}
        elif message["type"] == "http.response.body" and not self._sized:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class AsgiTurn:
    """A request that the ASGI application answers, by uvicorn's own cycle."""

    def __init__(self, protocol: EdgeProtocol, index: dict[bytes, bytes], version: str, keeps_alive: bool) -> None:
        self._protocol = protocol
        self._leaving = Leaving()
        path, query = protocol.url, b""
        if path != b"*":
            url = httptools.parse_url(protocol.url)
            path, query = url.path or b"/", url.query or b""
        text = path.decode("ascii")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": protocol.config.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": get_local_addr(protocol.transport),
            "client": protocol.client,
            SCOPE: protocol.certificate,
            LEAVING: self._leaving,
            "scheme": "https" if is_ssl(protocol.transport) else "http",
            "root_path": "",
            "headers": protocol.headers,
            "state": protocol.app_state.copy(),
            "method": protocol.method.decode("ascii"),
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
        }
        self._cycle = (RequestResponseCycle if version == "1.1" else OldCycle)(
            scope=scope,  # type: ignore[arg-type]
            transport=self,  # type: ignore[arg-type]
            flow=protocol.flow,
            logger=protocol.logger,
            access_logger=protocol.logger,
            access_log=False,
            default_headers=protocol.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=index.get(b"expect", b"").lower() == b"100-continue",
            keep_alive=keeps_alive,
            on_response=protocol.answered,
        )

    @property
    def begun(self) -> bool:
        return self._cycle.response_started

    @property
    def ended(self) -> bool:
        return self._cycle.response_complete

    @property
    def closes(self) -> bool:
        # An application that has answered reads no more, so what it has left of a long body would stand here for good.
        unread = self.ended and self._cycle.more_body and self._protocol.flow.read_paused
        return unread or not self._cycle.keep_alive

    @closes.setter
    def closes(self, closes: bool) -> None:
        self._cycle.keep_alive = not closes

    def waited(self) -> None:
        """Nothing: its clock begins with the application."""

    def begin(self) -> None:
        tasks = self._protocol.server_state.tasks
        task = self._protocol.loop.create_task(self._cycle.run_asgi(self._protocol.app))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def take(self, data: bytes) -> None:
        cycle = self._cycle
        cycle.body += data
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self._protocol.hold_back(True)
        cycle.message_event.set()

    def whole(self) -> None:
        self._cycle.more_body = False
        self._cycle.message_event.set()

    def lost(self) -> None:
        self._cycle.disconnected = True
        # Its body will not come: nobody must be asked for it, least of all behind the answer that refuses it.
        self._cycle.waiting_for_100_continue = False
        self._cycle.message_event.set()
        self._leaving.tell()

    # As its cycle's transport.

    def write(self, data: bytes) -> None:
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        # Once the answer is complete the protocol closes, when what the client still sends can no longer hurt.
        if not self.ended:
            self._protocol.close()
