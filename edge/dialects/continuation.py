"""A text that one provider has begun and another goes on with, as one stream of the client's dialect.

A :class:`Continued` crossing asks a provider to go on with it, and makes of its events what belongs behind what
`edge.dialects.begun` has read.
"""

from __future__ import annotations

from edge._fast import SSEDecoder
from edge.dialects.begun import Begun
from edge.dialects.crossing import Crossing
from edge.dialects.stream import Stream
from edge.errors import UNREADABLE, EdgeError, UpstreamBadResponse
from edge.hooks import Usage

__all__ = ["Continued"]

VLLM = b'{"continue_final_message":true,"add_generation_prompt":false,'
"""vLLM's and SGLang's way: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html."""


class Continued(Crossing):
    """The crossing of a request that has ``begun`` at its end, and the rest of the client's stream. `inner` is that
    request's own crossing, `before` the tokens of what was asked so far; `who` goes on with it.
    """

    def __init__(self, inner: Crossing, begun: Begun, before: Usage | None, *, who: str, vllm: bool) -> None:
        self._inner = inner
        self._begun = begun
        self._before = before
        self._who = who
        self._route = inner._route
        self.path, self.asked, self.dropped = inner.path, inner.asked, inner.dropped
        self.body = VLLM + inner.body.lstrip()[1:] if vllm and begun.given else inner.body
        self.stream = None
        self.translates = self.prepared = True
        self._decoder = SSEDecoder()
        self._space = begun.space
        self._over = False

    def warnings(self) -> frozenset[str]:
        return self._inner.warnings()

    def estimated_input(self) -> int:
        return self._inner.estimated_input()

    def begin_stream(self) -> Stream:
        stream = self.stream = self._inner.begin_stream()
        return stream

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes:
        """Raises UpstreamBadResponse for what is no text."""
        if self._inner.translates:
            events = self._decoder.feed(self._inner.feed(events) or b"")
        return self._take(events)

    def finish(self) -> bytes:
        rest = self._decoder.feed(self._inner.finish()) if self._inner.translates and not self._over else []
        out = self._take(rest)
        return out if self._over or not self._begun.stopped else out + self._end()

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        return self._begun.error_event(error, request_id)

    def _take(self, events: list[tuple[bytes, bytes]]) -> bytes:
        out: list[bytes] = []
        begun = self._begun
        for name, data in events:
            if self._over:
                break
            try:
                if self._stream.failed and begun.fails(name, data):
                    self._over = True
                    out.append(begun.failed(name, data))
                    break
                said = self._new(begun.take(name, data))
            except (*UNREADABLE, AttributeError):
                raise UpstreamBadResponse("The provider sent an event that cannot be read.") from None
            if said:
                out.append(begun.more(said))
            if begun.over:
                out.append(self._end())
        return b"".join(out)

    def _new(self, text: str) -> str:
        """What of the text the client does not have: the space, it has already."""
        while self._space and text:
            if text[0] != self._space[0]:
                self._space = ""
                break
            text, self._space = text[1:], self._space[1:]
        return text

    def _end(self) -> bytes:
        self._over = True
        after = self._stream.reported()
        usage = after if self._before is None else self._before if after is None else self._before.plus(after)
        return self._begun.end(usage) + b": continued by " + self._who.encode("ascii", "replace") + b"\n"
