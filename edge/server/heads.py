"""Heads of requests that came before: what they say is not found out again.

Clients send the same head again and again, but for a few values (`edge/_fast/_head_known.py`). What follows from the
rest, which is all that decides where a request goes, is kept with it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from edge._fast import KnownHead, RequestHead
from edge.routes import Match

__all__ = ["Heads", "Known"]

MAX_KNOWN = 1024


@dataclass(frozen=True, slots=True)
class Known:
    """A head, and what its target says."""

    head: KnownHead
    match: Match
    target: bytes
    query: bytes


class Heads:
    """Those that came last, over all connections; ``latest`` is the one that was read last."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self.latest: Known | None = None

    def find(self, known: Known | None, data: bytes) -> int:
        """Where the head ends that `data` begins with, if it is this one; else 0."""
        return 0 if known is None else known.head.match(data)

    def learn(self, head: RequestHead, match: Match, target: bytes, query: bytes) -> Known | None:
        """The one that a head, which has just been read, is: its own, or one that came before. None if it cannot be
        kept.
        """
        try:
            made = KnownHead(head)
        except ValueError:
            return None
        key = made.key
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Known(made, match, target, query)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        self.latest = known
        return known
