"""What of a large answer is looked at."""

from __future__ import annotations

from edge._fast import JSONError, JSONScanner
from edge.dialects.abridged import MAX_MESSAGE
from edge.dialects.crossing import Crossing
from edge.dialects.translators import TOO_LARGE
from edge.errors import UpstreamBadResponse
from edge.slices import Steps
from edge.upstreams.relay import Watch

__all__ = ["Outline", "in_steps"]

MAX_PART = 65536
ENDLESS = 1 << 62
CONTENT = {b"[": b'[{"message":{},"text":""}]', b"{": b'{"":0}', b'"': b'"..."'}
"""What stands for a value that is longer than it is worth. A list is taken to be one of answers."""
UNREAD = b'{"choices":[{"message":{},"text":""}],"content":[],"output":[],"data":[]}'
"""What stands for an answer that is not looked into: it is taken to be one."""


class Outline:
    """A large answer without its long values, for what looks at the others: usage, an error. It is what came, cut,
    where that is no JSON.
    """

    def __init__(self, body: bytes, *, translates: bool) -> None:
        self._body = body
        self._translates = translates
        self._scanner = JSONScanner(body, 128, 1000, MAX_MESSAGE if translates else ENDLESS, ENDLESS)
        self.text = b""

    def step(self) -> bool:
        """Scan a part of it; True when ``text`` is there. Raises UpstreamBadResponse for an answer of more values than
        are translated, where it is to be.
        """
        body, scanner = self._body, self._scanner
        try:
            if not scanner.step():
                return False
        except JSONError as error:
            if error.limit and self._translates:
                raise UpstreamBadResponse(TOO_LARGE) from None
            # vLLM and others write NaN and Infinity for numbers.
            lenient = error.reason == "a value was expected" and body[error.offset : error.offset + 1] in (b"N", b"I")
            unread = lenient or error.limit or error.duplicate is not None
            self.text = UNREAD if unread else body[:MAX_PART]
            return True
        left = 2 * MAX_PART
        parts = []
        for name, (start, end) in scanner.spans.items():
            size = end - start
            if size <= min(left, MAX_PART):
                left -= size
                value = body[start:end]
            else:
                value = CONTENT.get(body[start : start + 1], b"0")
            parts.append(b'"%b":%b' % (name.encode(), value) if name.isidentifier() else b"")
        self.text = b"{%b}" % b",".join(filter(None, parts))
        return True


def in_steps(crossing: Crossing | None, watch: Watch | None, body: bytes) -> Steps[bytes]:
    """An answer for the client: translated, if there is a `crossing`, and looked through, if there is a `watch`."""
    if crossing is not None:
        body = yield from crossing.large_answer(body)
    if watch is not None:
        body = yield from watch.answer(body)
    return body
