"""A provider's stream of events on its way to the client's, event by event.

A stream is relayed in whole events, and the comments between them. What has come of an event is held back until the
event is complete, so that an answer that breaks off can still end in an error event that the client can read, and so
that a keep-alive stands between two events.
"""

from __future__ import annotations

from typing import Protocol

from edge._fast import EventPattern, SSEDecoder, SSELimitError
from edge.dialects.crossing import Crossing
from edge.dialects.failures import is_json
from edge.dialects.stream import BRIEF, Stream
from edge.errors import UpstreamBadResponse
from edge.slices import Steps

__all__ = ["EventRelay", "Watch"]

GROWING = 1024
"""Bytes of an event under way from which on more of it is a sign of progress: no heartbeat is so long."""


class Watch(Protocol):
    """Over what an answer says, which may leave nothing more to be told of it: then it is ``over``. ``took_s`` are the
    seconds spent on looking.
    """

    over: bool
    took_s: float

    @property
    def mode(self) -> str: ...

    @property
    def told(self) -> str:
        """What was found, for a header and a log."""
        ...

    def findings(self) -> list[tuple[str, int]]:
        """The same, by kind."""
        ...

    def answer(self, body: bytes) -> Steps[bytes]:
        """A whole answer. Raises PiiBlocked."""
        ...

    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...

    def numbered(self, events: bytes) -> bytes:
        """Events of our own that end the answer, with numbers that come after those which have gone out."""
        ...

    def refuse(self) -> None:
        """Raises why it is over."""
        ...


class EventRelay:
    """Relays one stream of server-sent events. ``crossing`` knows what the events mean; ``stream`` reads them;
    ``watch`` is over what the client is told.
    """

    def __init__(self, crossing: Crossing, watch: Watch | None = None) -> None:
        self._watch = watch
        self._crossing = crossing
        self.stream = crossing.begin_stream()
        self._decoder = SSEDecoder()
        self._pattern = EventPattern(BRIEF)
        self._held = bytearray()
        self._cut_event = False

    @property
    def complete(self) -> bool:
        """Whether the stream, whose end has come, is whole: an event cut short counts only if it was the last one."""
        return self.stream.finished or (not self._cut_event and self.stream.complete_at_end())

    def refused(self) -> bool:
        """Whether there was something in it that the client must not be told."""
        return self._watch is not None and self._watch.over

    def checked(self) -> Stream:
        """The ``stream``. Raises PiiBlocked where it is `refused`."""
        if self._watch is not None and self._watch.over:
            self._watch.refuse()
        return self.stream

    def moved(self) -> bool:
        """Whether more than heartbeats has come since this was last asked."""
        stream = self.stream
        moved = stream.moved or self._decoder.pending > GROWING
        stream.moved = False
        return moved

    def rest(self, after: bytes) -> bytes:
        """What ends a stream whose terminal event has come: what is held back, and the bytes that came `after` it."""
        rest = self._crossing.finish() if self._crossing.translates else bytes(self._held) + after
        return rest if self._watch is None else self._watch.feed(rest) + self._watch.end()

    def take(self, chunk: bytes) -> bytes:
        """The next bytes: what of them, and of what was held, is for the client now. Raises UpstreamBadResponse."""
        ready = self._take(chunk)
        return ready if self._watch is None else self._watch.feed(ready)

    def _take(self, chunk: bytes) -> bytes:
        """Decode them: up to the end of the latest whole event they are for the client, or the events translated."""
        decoder, pattern, stream = self._decoder, self._pattern, self.stream
        between = decoder.between()
        if between and stream.plain and pattern.match(chunk):
            said = self._again(chunk)
            if said:
                stream.again(pattern.events, pattern.size)
                return said
        try:
            events = decoder.feed(chunk)
        except SSELimitError:
            raise UpstreamBadResponse("The provider sent an event that is too long.") from None
        stream.see(events)
        translated = self._crossing.feed(events) or b"" if self._crossing.translates else None
        if events:
            if between and stream.plain and len(events) == 1:
                self._learn(chunk, len(events[0][1]))
            else:
                pattern.forget()
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

    def _again(self, chunk: bytes) -> bytes:
        """What the client gets of events that fit the pattern, b"" where they are to be read."""
        pattern = self._pattern
        if not self._crossing.translates:
            return chunk
        return self._crossing.again(pattern.text(chunk)) if pattern.events == 1 else b""

    def _learn(self, event: bytes, size: int) -> None:
        """Look for a pattern in an event that was a delta and nothing more. What is translated may differ in that text
        alone which was translated.
        """
        pattern = self._pattern
        if not self._crossing.translates:
            pattern.learn(event, size)
            return
        latest = self._crossing.latest()
        if not latest:
            pattern.forget()
            return
        pattern.learn(event, size)
        text = pattern.text(event) if pattern.match(event) and pattern.simple else b""
        # What differs need not be the text, if another string says the same, written out or with escapes.
        if text is not None and (text != latest or b"\\" in event or event.count(b'"%b"' % text) > 1):
            pattern.forget()
            pattern.learn(event, size)  # it may be the first of others

    def take_end(self) -> bytes:
        """The body's proper end; return as `take`. Raises UpstreamBadResponse."""
        rest = self._take_end()
        return rest if self._watch is None else self._watch.feed(rest) + self._watch.end()

    def _take_end(self) -> bytes:
        """The last event need not have a blank line; one that is cut inside its data is none."""
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
