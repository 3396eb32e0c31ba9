"""WebSockets of the simulator: the handshake, and a session of Realtime or of Responses behind it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

from websockets.datastructures import Headers
from websockets.frames import OP_CLOSE, Frame
from websockets.http11 import Request
from websockets.protocol import CLOSED, OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from edge.simulator.answers import Answer, whole
from edge.simulator.openai import dumps, error
from edge.simulator.plan import Plan, plan_for
from edge.simulator.realtime import Session
from edge.simulator.responses_socket import ResponsesSession

if TYPE_CHECKING:
    from edge.simulator.connection import Connection
    from edge.simulator.ledger import Entry, RawHeaders

__all__ = ["Socket"]

MAX_MESSAGE = 64 << 20
SILENT = logging.Logger("simulator.sockets")
SILENT.addHandler(logging.NullHandler())
SILENT.setLevel(logging.CRITICAL)


def agreed(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The API speaks with or without a sub-protocol."""
    return Subprotocol("realtime") if "realtime" in offered else None


class Speaker(Protocol):
    """A session: events in, events out, as lists."""

    plan: Plan

    def begin(self) -> list[dict[str, Any]]: ...

    def heard(self, event: Any) -> list[dict[str, Any]]: ...

    def error(self, message: str, code: str | None) -> dict[str, Any]: ...


class Socket:
    """One connection after its request for a WebSocket. The ledger's entry has the events of both sides."""

    def __init__(self, connection: Connection, url: bytes, headers: RawHeaders) -> None:
        self._connection = connection
        self._loop = connection.loop
        self._plan: Plan = connection.simulator.default
        path, _, query = url.decode("latin-1").partition("?")
        self._path, self._asked = path, parse_qs(query)
        self._headers = headers
        self.entry: Entry = connection.simulator.ledger.open(self._loop.time(), url, headers, b"", True, "GET")
        self._protocol = ServerProtocol(state=OPEN, max_size=MAX_MESSAGE, logger=SILENT)
        self._speaker: Speaker | None = None
        self._parts = b""
        self._told: list[dict[str, Any]] = []
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Answer the handshake."""
        refusal = self._refusal()
        transport = self._connection.transport
        if refusal is not None:
            status, body = refusal
            self.entry.status = status
            transport.write(whole(status, body, b"connection: close\r\n"))
            transport.close()
            return
        fields = Headers()
        for name, value in self._headers:
            fields[name.decode("latin-1")] = value.decode("latin-1")
        if self._plan.hang_after == -1:
            return
        if self._plan.rst_after == -1 or self._plan.cut_after == -1:
            transport.abort()
            return
        handshake = ServerProtocol(select_subprotocol=agreed, logger=SILENT)
        response = handshake.accept(Request("/", fields))
        response.headers["x-request-id"] = "req_simulator"
        self.entry.status = response.status_code
        transport.write(response.serialize())
        if response.status_code != 101:
            self._speaker = None
            transport.close()
        elif self._speaker is not None:
            self._tell(self._speaker.begin())

    def _refusal(self) -> tuple[int, bytes] | None:
        names = {name.lower() for name, _ in self._headers}
        if not names & {b"authorization", b"api-key"}:
            return 401, error(401, "Missing bearer or basic authentication in header")
        simulator = self._connection.simulator
        if self._path.endswith("/v1/realtime"):
            models = self._asked.get("model", [])
            if not models:
                message = "You must provide a model parameter."
                return 400, error(400, message, "model", "missing_model")
            self._plan = plan_for(models[0], simulator.default)
            if self._plan.status != 200:
                return self._plan.status, error(self._plan.status, f"Simulated status {self._plan.status}.")
            self._speaker = Session(models[0], self._plan)
            return None
        if self._path.endswith("/v1/responses"):
            self._speaker = ResponsesSession(self._answer, simulator.default)
            return None
        return 404, error(404, f"Unknown request URL: GET {self._path}.", code="unknown_url")

    def _answer(self, body: bytes) -> Answer:
        return self._connection.simulator.answer(self._path.encode(), self._headers, body)

    # Frames.

    def received(self, data: bytes) -> None:
        if self._protocol.state is CLOSED:
            return
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame):
                self._heard(frame)
        self._write()

    def _heard(self, frame: Frame) -> None:
        if frame.opcode is OP_CLOSE or frame.opcode.name in ("PING", "PONG"):
            return
        self._parts += bytes(frame.data)
        if not frame.fin:
            return
        data, self._parts = self._parts, b""
        self.entry.body += data + b"\n"
        if self._speaker is None:
            return
        try:
            event = json.loads(data.decode())
        except ValueError:
            self._tell([self._speaker.error("We could not parse the JSON body of your event.", "invalid_json")])
            return
        events = self._speaker.heard(event)
        if events and events[0].get("response", {}).get("status") == "cancelled":
            self._told.clear()  # what would have come of it
        self._tell(events)

    def _tell(self, events: list[dict[str, Any]]) -> None:
        self._told += events
        if self._timer is None:
            self._play()

    def _play(self) -> None:
        """Send what is due, one event every ``token_s``."""
        self._timer = None
        assert self._speaker is not None  # noqa: S101 - it has said it
        plan = self._speaker.plan
        while self._protocol.state is OPEN:
            if plan.hang_after is not None and self._sent >= plan.hang_after:
                return
            if plan.cut_after is not None and self._sent >= plan.cut_after:
                self._connection.transport.close()
                return
            if plan.rst_after is not None and self._sent >= plan.rst_after:
                self._connection.reset()
                return
            if not self._told:
                return
            event = self._told.pop(0)
            if isinstance(self._speaker, Session) and event["type"] == "response.done":
                self._speaker.active = None
            self._protocol.send_text(dumps(event))
            self._sent += 1
            self.entry.events += 1
            self._write()
            if plan.token_s and self._told:
                self._timer = self._loop.call_later(plan.token_s, self._play)
                return

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._connection.transport.write(data)
            else:
                self._connection.transport.close()

    def lost(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        closed = self._protocol.close_rcvd
        self.entry.left = f"close {closed.code}" if closed is not None else "fin"
        self.entry.left_at = self._loop.time()
