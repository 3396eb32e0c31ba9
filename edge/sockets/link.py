"""A WebSocket to a provider, from the first byte of its handshake on."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.protocol import CONNECTING, OPEN
from websockets.uri import WebSocketURI

from edge.errors import Headers, UpstreamBadResponse, UpstreamStreamBroken
from edge.sockets.ends import GOODBYE_S, Hearer
from edge.sockets.peer import ABNORMAL, SILENT, Closed, Message, Peer
from edge.sockets.word import is_of_the_model
from edge.upstreams.request import UpstreamRequest

__all__ = ["Answer", "Link"]

MAX_EARLY = 1 << 20
"""Bytes of messages that nobody is told yet, above which no more are read. The news that a response has begun repeats
what was asked.
"""
WRITE_STALL_S = 30.0
"""A provider that takes nothing for this long is gone, whatever its socket says."""
NOWHERE = WebSocketURI(False, "localhost", 80, "/", "", None, None)
"""websockets asks for one; the request is written here."""


class Answer(NamedTuple):
    """What a provider has said to the handshake."""

    status: int
    headers: Headers
    body: bytes


class Link(asyncio.Protocol):
    """``answer`` gets what the handshake was answered with, or the error that it has met: UpstreamBadResponse,
    UpstreamStreamBroken. After a 101 it is an `End`, once it is told whom to tell.
    """

    def __init__(self, request: UpstreamRequest, authority: bytes, protocol: str, max_bytes: int) -> None:
        """`protocol` is the sub-protocol to offer, "" for none; `max_bytes` the most that a message may have."""
        self._loop = asyncio.get_running_loop()
        offered = [protocol] if protocol else None
        self._protocol = ClientProtocol(NOWHERE, subprotocols=offered, max_size=max_bytes, logger=SILENT)  # type: ignore[arg-type]
        lines = b"GET %b HTTP/1.1\r\nhost: %b\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        own = b"sec-websocket-version: 13\r\nsec-websocket-key: %b\r\n" % self._protocol.key.encode("ascii")
        if protocol:
            own += b"sec-websocket-protocol: %b\r\n" % protocol.encode("ascii")
        self._request = request
        self._head = lines % (request.target, authority) + own + request.own + request.fields + b"\r\n"
        self._transport: asyncio.Transport | None = None
        self._peer = Peer(self._protocol)
        self._hearer: Hearer | None = None
        self._early: list[Message] = []
        self._early_size = 0
        self._defect: BaseException | None = None
        self._full = self._closing = self._paused = self._heard = False
        self._goodbye: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self.answer: asyncio.Future[Answer] = self._loop.create_future()
        self._word: asyncio.Future[Message | Closed] | None = None

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # a stream's
        self._request.sent = True
        self._transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        try:
            self._read(data)
        except Exception as defect:  # noqa: BLE001 - of ours: who waits, or hears, is to know
            self._fail(defect)

    def _fail(self, defect: BaseException) -> None:
        hearer, self._hearer, self._defect = self._hearer, None, defect
        if not self.answer.done():
            self.answer.set_exception(defect)
        if hearer is not None:
            hearer.fail(defect)
        self._look_for_word()
        self.drop()

    def _read(self, data: bytes) -> None:
        if self._protocol.state is OPEN or self.answer.done():
            self._tell(self._peer.feed(data))
            return
        self._heard = True
        self._protocol.receive_data(data)
        if self._protocol.handshake_exc is not None:
            self._refused(self._protocol.handshake_exc)
        elif self._protocol.state is not CONNECTING:  # it may be closing already
            response, *frames = self._protocol.events_received()
            told = [
                (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
                for name, value in response.headers.raw_items()  # type: ignore[union-attr]
            ]
            self.answer.set_result(Answer(101, told, b""))
            self._tell(self._peer.read(frames))

    def _refused(self, error: Exception) -> None:
        if isinstance(error, InvalidStatus):
            response = error.response
            headers = [
                (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
                for name, value in response.headers.raw_items()
            ]
            self.answer.set_result(Answer(response.status_code, headers, bytes(response.body or b"")))
        elif not self._heard:
            self.answer.set_exception(UpstreamStreamBroken())
        else:
            self.answer.set_exception(UpstreamBadResponse("The provider's answer is no WebSocket handshake."))
        self.drop()

    def eof_received(self) -> None:
        if self._protocol.state is not OPEN and not self.answer.done():
            self._protocol.receive_eof()  # the body of a refusal may end so
            if self._protocol.handshake_exc is not None:
                self._refused(self._protocol.handshake_exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for timer in (self._goodbye, self._stall):
            if timer is not None:
                timer.cancel()
        if not self.answer.done():
            self.answer.set_exception(UpstreamStreamBroken())
        self._gone(Closed(ABNORMAL))
        self._look_for_word()

    def pause_writing(self) -> None:
        self._full = True
        self._stall = self._loop.call_later(WRITE_STALL_S, self.drop)

    def resume_writing(self) -> None:
        self._full = False
        if self._stall is not None:
            self._stall.cancel()
        if self._hearer is not None:
            self._hearer.room(self)

    # Before anybody is told.

    async def word(self, patience_s: float) -> Message | Closed | None:
        """The first that is said after a 101 which is of the model, or how it has ended before; None where neither
        comes in so many seconds. It is told as all others.
        """
        self._word = self._loop.create_future()
        self._look_for_word()
        try:
            async with asyncio.timeout(patience_s):
                return await self._word
        except TimeoutError:
            return None
        finally:
            self._word = None

    def _look_for_word(self) -> None:
        word = self._word
        if word is None or word.done():
            return
        found = next(filter(is_of_the_model, self._early), None)
        if self._defect is not None:
            word.set_exception(self._defect)
        elif found is not None:
            word.set_result(found)
        elif self._peer.gone is not None:
            word.set_result(self._peer.gone)
        elif self._transport is None:
            word.set_result(Closed(ABNORMAL))

    # As an end.

    def tells(self, hearer: Hearer) -> None:
        """From here on, and of what has come already."""
        if self._defect is not None:
            hearer.fail(self._defect)
            return
        self._hearer = hearer
        self.resume()
        early, self._early = self._early, []
        self._tell(early)
        if self._transport is None and self._hearer is not None:
            self._gone(Closed(ABNORMAL))

    def say(self, message: Message) -> None:
        self._peer.say(message)
        self._write()

    def close(self, code: int, reason: str) -> None:
        self._hearer = None
        if self._closing or self._transport is None:
            return
        self._closing = True
        self._peer.close(code, reason)
        self._write()
        self.resume()
        if self._peer.gone is not None:
            self._transport.close()
        self._goodbye = self._loop.call_later(GOODBYE_S, self.drop)

    def full(self) -> bool:
        return self._full

    def pause(self) -> None:
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def drop(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self) -> None:
        data = self._peer.take(self._full)
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _tell(self, messages: list[Message]) -> None:
        self._write()
        if self._hearer is None:
            if not self._closing:
                self._early += messages
                self._early_size += sum([len(message.data) for message in messages])
                if self._early_size + self._peer.pending > MAX_EARLY:
                    self.pause()
            self._look_for_word()
            if self._closing and self._peer.gone is not None and self._transport is not None:
                self._transport.close()
            return
        for message in messages:
            if self._hearer is not None:
                self._hearer.came(self, message)
        if self._hearer is not None:
            self._hearer.holds(self, self._peer.pending)
        if self._peer.gone is not None:
            self._gone(self._peer.gone)

    def _gone(self, closed: Closed) -> None:
        hearer, self._hearer = self._hearer, None
        if hearer is not None:
            hearer.gone(self, closed)
        if self._transport is not None and self._peer.gone is not None:
            self._closing = True
            self._transport.close()
