"""A client's WebSocket on a lane: a call whose reply is the handshake's answer, and frames from then on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from edge.errors import ClientClosedRequest, Headers
from edge.head import Head, varying_of
from edge.relaying import relay
from edge.reply_fields import lines_of
from edge.routes import Match
from edge.server.lane import LaneCall
from edge.sockets.ends import AT_ONCE, GOODBYE_S, MAX_EARLY
from edge.sockets.handshake import handshake, without_secrets
from edge.sockets.peer import SILENT, Message, Peer

if TYPE_CHECKING:
    from edge.server.lane import Lane
    from edge.sockets.relay import Relay

__all__ = ["LaneSocket"]


class LaneSocket(LaneCall):
    """The last turn of its connection, and one end of its relay."""

    def __init__(self, lane: Lane, wish: Match, headers: Headers) -> None:
        """Raises UpgradeRequired, InvalidHTTP."""
        self._wish = handshake(headers)
        own = without_secrets(lane.headers)
        target: bytes = lane.url
        head = Head(wish, "GET", target, target.partition(b"?")[2], own)
        LaneCall.__init__(self, lane, head, varying_of(own), 0)
        self.complete = self.closes = True
        limit = self.state.settings.websockets.max_message_bytes
        self._peer = Peer(ServerProtocol(state=OPEN, max_size=limit, logger=SILENT))
        self._early = self._behind = b""
        self._relay: Relay | None = None
        self._speaks = self._closing = self._departed = self._paused = self._goes_on = False
        self._goodbye: asyncio.TimerHandle | None = None

    # As a turn.

    def begin(self) -> None:
        gateway = self.lane.gateway
        gateway.open(self)
        if not self.reply.over():
            self._relay = relay(gateway, self, self, self._wish.protocol)

    def take(self, data: bytes) -> None:
        """It has no body."""

    def whole(self) -> None:
        """It has no body."""

    def hear(self, data: bytes) -> None:
        """Bytes behind the head."""
        if self._departed:
            return
        if not self._speaks:
            self._early += data
            if len(self._early) > MAX_EARLY:
                self.lane.transport.abort()
            return
        if self._early:
            data, self._early = self._early + data, b""
        if self._behind:
            self._behind += data  # it was on its way
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        relay = self._relay
        try:
            self._read_some(data)
        except Exception as defect:
            if relay is None:
                raise
            relay.fail(defect)

    def _read_some(self, data: bytes) -> None:
        """The beginning of it; the rest is behind that, and nothing more is read before it."""
        data, self._behind = data[:AT_ONCE], data[AT_ONCE:]
        messages = self._peer.feed(data)
        self._flush()
        relay = self._relay
        if relay is not None and not self._closing:
            for message in messages:
                relay.came(self, message)
            relay.holds(self, self._peer.pending + len(self._behind))
        if self._peer.gone is not None:
            if relay is not None and not self._closing:
                relay.gone(self, self._peer.gone)
            self._depart()
        if self._behind and not self._departed:
            self.lane.flow.pause_reading()
            self._go_on()

    def _go_on(self) -> None:
        """In another turn, unless it is paused: then once it is not."""
        if not self._goes_on and not self._paused:
            self._goes_on = True
            self.lane.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._goes_on = False
        if self._paused and not self._departed:
            return
        behind, self._behind = self._behind, b""
        if self._departed:
            return
        self._read(behind)
        if not self._behind and not self._paused and not self._departed:
            self.lane.flow.resume_reading()

    def _hear_early(self) -> None:
        """What has come before the handshake was answered."""
        early, self._early = self._early, b""
        if early:
            self.hear(early)

    def lost(self) -> None:
        self._departed = True
        self._stop()
        if not self.reply.over():
            self.reply.lost()
            self.lane.gateway.cancel(self, ClientClosedRequest())

    # As a sink.

    def start(self, status: int, lines: bytes, size: int) -> None:
        if status != 101:
            LaneCall.start(self, status, lines, size)
            return
        agreed = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", self._wish.accept)]
        if self._wish.protocol:
            agreed.append((b"sec-websocket-protocol", self._wish.protocol.encode("ascii")))
        own = lines_of([*self.lane.server_state.default_headers, *agreed])
        self._speaks = True
        self.lane.transport.write(STATUS_LINE[101] + own + lines + b"\r\n")
        if self._early:
            self.lane.loop.call_soon(self._hear_early)

    def write(self, data: bytes) -> None:
        if self._speaks:
            self.lane.transport.write(data)
        else:
            LaneCall.write(self, data)

    def end(self) -> None:
        """The reply is over; a WebSocket's connection is still to close."""
        if not self._speaks:
            LaneCall.end(self)

    def when_room(self, room: object) -> None:
        """Who relays is told by `takes`."""

    # As an end.

    def say(self, message: Message) -> None:
        self._peer.say(message)
        self._flush()

    def close(self, code: int, reason: str) -> None:
        if self._closing:
            return
        self._closing = True
        self._peer.close(code, reason)
        self._flush()
        self.resume()
        if self._peer.gone is not None:
            self._depart()
        else:
            self._goodbye = self.lane.loop.call_later(GOODBYE_S, self._depart)

    def full(self) -> bool:
        return self.congested()

    def pause(self) -> None:
        if not self._paused and not self._departed:
            self._paused = True
            self.lane.flow.pause_reading()

    def resume(self) -> None:
        if self._paused and not self._departed:
            self._paused = False
            if self._behind:
                self._go_on()
            else:
                self.lane.flow.resume_reading()

    def takes(self, more: bool) -> None:
        if more and self._relay is not None and not self._closing:
            self._relay.room(self)

    def _flush(self) -> None:
        data = self._peer.take(self.full())
        if not data or self._departed:
            return
        if self.reply.over():
            self.lane.transport.write(data)
        else:
            self.reply.write(data)

    def _depart(self) -> None:
        """Both sides have said that they close, or this one waits no longer."""
        self._stop()
        if not self._departed:
            self._departed = True
            self.lane.answered()

    def _stop(self) -> None:
        self._relay = None
        if self._goodbye is not None:
            self._goodbye.cancel()
