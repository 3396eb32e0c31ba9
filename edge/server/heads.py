"""Heads of requests that came before: what they say is not parsed again.

Clients send the same head again and again, but for the size of the body. A head without that size is the key to what it
says, which follows from its bytes alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import Headers
from edge.routes import Match

__all__ = ["END", "Head", "Heads"]

END = b"\r\n\r\n"
"""Of a head."""
SIZE = b"ength: "
"""The end of Content-Length, as clients write it in both cases."""
MAX_DIGITS = 9
MAX_HEAD = 4096
"""Bytes; longer ones are rare, and not kept."""
MAX_KNOWN = 1024
OTHERWISE = frozenset({b"expect", b"transfer-encoding", b"upgrade"})
"""Fields by which more follows from a head than a request with a body of that size."""
KEPT = b"keep-alive"
"""What Connection may say, since it says nothing new in HTTP/1.1: httpx, and so the vendors' SDKs, always send it."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a request says, apart from its body's size. ``place`` is that of the size in ``headers``."""

    match: Match
    target: bytes
    query: bytes
    headers: Headers
    index: dict[bytes, bytes]
    place: int


class Heads:
    """Those that came last."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def find(self, request: bytes) -> tuple[Head, bytes, int] | None:
        """What is known of the head of a whole request: the size that it gives for its body, as digits, and where the
        body begins. None for a head that is not known, or another amount of body than it says.
        """
        end = request.find(END)
        if end < 0:
            return None
        at = request.find(SIZE, 0, end)
        if at < 0:
            return None
        at += len(SIZE)
        stop = request.find(b"\r\n", at)
        head = self._known.get(request[:at] + request[stop:end])
        if head is None:
            return None
        size, begin = request[at:stop], end + 4
        if not size.isdigit() or len(size) > MAX_DIGITS or int(size) != len(request) - begin:
            return None
        return head, size, begin

    def learn(self, segment: bytes, head: Head) -> None:
        """Keep what the head at the beginning of `segment` was found to say, if no more than the body's size can vary
        in it. It keeps the connection open, in HTTP/1.1.
        """
        end = segment.find(END)
        at = segment.find(SIZE, 0, end)
        if at < 0 or not 0 < end <= MAX_HEAD or segment[:end].lower().count(b"content-length") != 1:
            return
        at += len(SIZE)
        stop = segment.find(b"\r\n", at)
        size = segment[at:stop]
        if not size.isdigit() or len(size) > MAX_DIGITS or not segment[:at].lower().endswith(b"\r\ncontent-length: "):
            return
        if head.headers[head.place] != (b"content-length", size) or not head.index.keys().isdisjoint(OTHERWISE):
            return
        if head.index.get(b"connection", KEPT).lower() != KEPT:
            return
        key = segment[:at] + segment[stop:end]
        if key not in self._known and len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[key] = head
