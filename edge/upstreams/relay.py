"""From a provider's answer to the client's: whole for JSON, event by event for streams.

A stream is relayed in whole events, and the comments between them. What has come of an event is held back until the
event is complete, so that an answer that breaks off can still end in an error event that the client can read, and so
that a keep-alive stands between two events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import BytesIO

from edge._fast import SSEDecoder, SSELimitError
from edge.dialects.crossing import Crossing
from edge.dialects.failures import is_json
from edge.errors import EdgeError, UpstreamBadResponse, UpstreamStreamBroken
from edge.exchange import Exchange
from edge.upstreams.deadline import Deadline
from edge.upstreams.wire import Response

__all__ = ["EventRelay", "collect"]

EMPTY = "The provider's stream came to its end without content."
MAX_ANSWER = 64 << 20
MAX_PREAMBLE = 1 << 20
SETTLE_S = 0.05
GROWING = 1024
"""Bytes of an event under way from which on more of it is a sign of progress: no heartbeat is so long."""


async def collect(response: Response, hold: Callable[[int], None]) -> bytes:
    """The whole body of an answer; `hold` is told how much of it there is, if it does not come at once. Raises what
    `hold` does, UpstreamStreamBroken, UpstreamBadResponse (over 64 MiB).
    """
    whole = await response.read()
    if response.complete and response.framed:
        return whole
    # Not a bytearray: this one gives its bytes away without a copy.
    body = BytesIO()
    hold(body.write(whole))
    while chunk := await response.read():
        hold(body.write(chunk))
        if body.tell() > MAX_ANSWER:
            raise UpstreamBadResponse(f"The provider's answer is larger than {MAX_ANSWER >> 20} MiB.")
    whole = body.getvalue()
    if not response.framed and whole[:1024].lstrip().startswith((b"{", b"[")) and not is_json(whole):
        # Its end is the end of the connection, however that came about: JSON at least says itself whether it is whole.
        raise UpstreamStreamBroken
    return whole


class EventRelay:
    """Relays one stream of server-sent events. ``crossing`` knows what the events mean."""

    def __init__(self, response: Response, crossing: Crossing, deadline: Deadline) -> None:
        self._crossing = crossing
        self.stream = crossing.begin_stream()
        self._response = response
        self._deadline = deadline
        self._decoder = SSEDecoder()
        self._held = bytearray()
        self._ready = b""
        self._at_end = False
        self._cut_event = False

    async def first_content(self) -> None:
        """Read until the stream shows content, an error or its end; nothing goes to the client before.

        Raises UpstreamStreamBroken, and UpstreamBadResponse for a stream that comes to its end without content.
        """
        stream = self.stream
        ready = bytearray()
        while not (stream.content or stream.failed or stream.finished or self._at_end):
            ready += self._take(await self._read())
            if len(ready) > MAX_PREAMBLE:
                raise UpstreamBadResponse("The provider sent a megabyte of events without content.")
        self._ready = bytes(ready)
        if stream.content or stream.failed:
            return
        raise UpstreamBadResponse(EMPTY) if self._complete() else UpstreamStreamBroken

    async def relay(self, exchange: Exchange) -> None:
        """Send the stream on, from its first byte to its end.

        Raises UpstreamStreamBroken, UpstreamBadResponse; what was sent before that ends with a whole
        event.
        """
        deadline, stream = self._deadline, self.stream
        exchange.write(self._ready)
        deadline.next_bytes()

        def pass_on(chunk: bytes) -> bool:
            if ready := self._take(chunk):
                exchange.write(ready)
            if stream.moved or self._decoder.pending > GROWING:
                stream.moved = False
                deadline.heard = True
            return not (stream.finished or stream.failed or exchange.congested)

        while not self._at_end:
            if exchange.congested:
                deadline.taken()
                await exchange.drain()
                deadline.go_on()
            if stream.finished or stream.failed:
                if rest := await self._rest():
                    exchange.write(rest)
                break
            exchange.upstream_begins()
            try:
                more = await self._response.pump(pass_on)
            except UpstreamStreamBroken:
                # If all was said, only the HTTP framing of the end is missing.
                more = stream.finished or stream.failed
                if not more:
                    raise
            finally:
                exchange.upstream_ends()
            if not more and (ready := self._take(b"")):
                exchange.write(ready)
        if not stream.failed and not self._complete():
            raise UpstreamStreamBroken

    def _complete(self) -> bool:
        """Whether the stream was complete when it ended: an event cut short counts only if it was the terminal one."""
        return self.stream.finished or (not self._cut_event and self.stream.complete_at_end())

    async def _rest(self) -> bytes:
        """What follows the terminal event or an error: mostly nothing but the HTTP framing of the end, which lets the
        connection be kept. An upstream that leaves its body open does not keep the client waiting.
        """
        rest = bytearray(self._held)
        try:
            async with asyncio.timeout(SETTLE_S):
                while chunk := await self._response.read():
                    rest += chunk
                    if len(rest) > MAX_PREAMBLE:
                        break
        except (EdgeError, TimeoutError):
            pass  # the client has everything; the connection is closed instead
        return self._crossing.finish() if self._crossing.translates else bytes(rest)

    async def _read(self) -> bytes:
        try:
            return await self._response.read()
        except UpstreamStreamBroken:
            if self.stream.finished:
                return b""  # all was said; only the HTTP framing of the end is missing
            raise

    def _take(self, chunk: bytes) -> bytes:
        """Decode `chunk`, b"" for the end; return what of it is for the client now: the bytes up to the end of the
        latest whole event, or the events translated.
        """
        decoder = self._decoder
        try:
            if not chunk:
                return self._take_end()
            events = decoder.feed(chunk)
        except SSELimitError:
            raise UpstreamBadResponse("The provider sent an event that is too long.") from None
        self.stream.see(events)
        translated = self._crossing.feed(events)
        if translated is not None:
            return translated
        pending = decoder.pending
        if not self._held:
            if not pending:
                return chunk
            if pending < len(chunk):
                self._held += chunk[-pending:]
                return chunk[:-pending]
            self._held += chunk
            return b""
        self._held += chunk
        whole = len(self._held) - pending
        ready = bytes(self._held[:whole])
        del self._held[:whole]
        return ready

    def _take_end(self) -> bytes:
        """The body's proper end. Its last event need not have a blank line; one that is cut inside its data is none."""
        self._at_end = True
        self._cut_event = self._decoder.begun
        events = self._decoder.finish()
        if self._cut_event:
            self._cut_event = not events or not (events[0][1] == b"[DONE]" or is_json(events[0][1]))
            if self._cut_event:
                events = []
                self._held.clear()
        self.stream.see(events)
        if not (self.stream.failed or self._complete()):
            return b""
        translated = self._crossing.feed(events)
        if translated is not None:
            return translated + self._crossing.finish()
        rest = bytes(self._held)
        self._held.clear()
        return rest
