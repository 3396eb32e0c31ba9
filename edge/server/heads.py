"""Heads of requests that came before: what they say is not found out again.

Clients send the same head again and again, but for a few values (`edge/_fast/_head_known.py`).
"""

from __future__ import annotations

from collections import OrderedDict

from edge._fast import KnownHead, RequestHead
from edge.errors import Headers
from edge.head import Head
from edge.routes import Match

__all__ = ["Heads"]

MAX_KNOWN = 1024


class Heads:
    """Those that came last, over all connections, ``by_key``; ``latest`` is the one that was read last."""

    def __init__(self) -> None:
        self.by_key: OrderedDict[bytes, Head] = OrderedDict()
        self.latest: Head | None = None

    def find(self, known: Head | None, data: bytes) -> int:
        """Where the head ends that `data` begins with, if it is this one; else 0."""
        return 0 if known is None or known.form is None else known.form.match(data)

    def learn(self, read: RequestHead, match: Match, target: bytes, query: bytes, headers: Headers) -> Head:
        """What a head, which has just been read, says: found out now, or before. Its ``form`` is None if it cannot be
        kept.
        """
        try:
            form = KnownHead(read)
        except ValueError:
            return Head(match, "POST", target, query, headers)
        head = self.by_key.get(form.key)
        if head is None:
            head = self.by_key[form.key] = Head(match, "POST", target, query, headers, form)
            if len(self.by_key) > MAX_KNOWN:
                self.by_key.popitem(last=False)
        self.latest = head
        return head
