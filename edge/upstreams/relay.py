"""A provider's stream of events on its way to the client's, event by event.

A stream is relayed in whole events, and the comments between them. What has come of an event is held back until the
event is complete, so that an answer that breaks off can still end in an error event that the client can read, and so
that a keep-alive stands between two events.
"""

from __future__ import annotations

from edge._fast import SSEDecoder, SSELimitError
from edge.dialects.crossing import Crossing
from edge.dialects.failures import is_json
from edge.errors import UpstreamBadResponse

__all__ = ["EventRelay"]

GROWING = 1024
"""Bytes of an event under way from which on more of it is a sign of progress: no heartbeat is so long."""


class EventRelay:
    """Relays one stream of server-sent events. ``crossing`` knows what the events mean; ``stream`` reads them."""

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self.stream = crossing.begin_stream()
        self._decoder = SSEDecoder()
        self._held = bytearray()
        self._cut_event = False

    @property
    def complete(self) -> bool:
        """Whether the stream, whose end has come, is whole: an event cut short counts only if it was the last one."""
        return self.stream.finished or (not self._cut_event and self.stream.complete_at_end())

    @property
    def moved(self) -> bool:
        """Whether more than heartbeats has come since this was last asked."""
        stream = self.stream
        moved = stream.moved or self._decoder.pending > GROWING
        stream.moved = False
        return moved

    def rest(self, after: bytes) -> bytes:
        """What ends a stream whose terminal event has come: what is held back, and the bytes that came `after` it."""
        return self._crossing.finish() if self._crossing.translates else bytes(self._held) + after

    def take(self, chunk: bytes) -> bytes:
        """Decode the next bytes; return what of them is for the client now: those up to the end of the latest whole
        event, or the events translated. Raises UpstreamBadResponse.
        """
        decoder = self._decoder
        try:
            events = decoder.feed(chunk)
        except SSELimitError:
            raise UpstreamBadResponse("The provider sent an event that is too long.") from None
        self.stream.see(events)
        if self._crossing.translates:
            return self._crossing.feed(events) or b""
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

    def take_end(self) -> bytes:
        """The body's proper end; return as `take`. Its last event need not have a blank line; one that is cut inside
        its data is none. Raises UpstreamBadResponse.
        """
        self._cut_event = self._decoder.begun
        try:
            events = self._decoder.finish()
        except SSELimitError:
            raise UpstreamBadResponse("The provider sent an event that is too long.") from None
        if self._cut_event:
            self._cut_event = not events or not (events[0][1] == b"[DONE]" or is_json(events[0][1]))
            if self._cut_event:
                events = []
                self._held.clear()
        self.stream.see(events)
        if not (self.stream.failed or self.complete):
            return b""
        if self._crossing.translates:
            return (self._crossing.feed(events) or b"") + self._crossing.finish()
        rest = bytes(self._held)
        self._held.clear()
        return rest
