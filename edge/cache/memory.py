"""Answers in this worker's memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from time import monotonic, time
from typing import Any
from urllib.parse import quote

from edge._fast import LFUCache
from edge.cache import replay
from edge.cache.entry import Entry
from edge.config import Memory
from edge.hooks import Meter
from edge.payload import Payload
from edge.reply_fields import EVENTS, JSON, lines_of

__all__ = ["Generation", "Held", "MemoryCache"]

PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F))
BYTES_PER_CHUNK = 120
"""What a chunk's pair of numbers takes, on CPython."""
REPORT_EVERY = 64
"""Writes between two reports of how full the cache is."""


class Generation:
    """How often the caches were cleared, in memory that all workers share: each looks before it answers."""

    __slots__ = ("_word",)

    def __init__(self, memory: Any = None) -> None:
        """`memory` is a writable buffer of at least 8 zero bytes, made before the workers are forked."""
        self._word = memoryview(bytearray(8) if memory is None else memory).cast("B")[:8].cast("q")

    @property
    def value(self) -> int:
        return self._word[0]

    def bump(self) -> None:
        self._word[0] += 1


class Held:
    """An entry at hand: ``lines`` are the fields of a reply that do not vary, ``stream_lines`` those of a stream, and
    ``forms`` what is served, by whether that is a stream, and one that tells its tokens.
    """

    __slots__ = ("entry", "forms", "lines", "stream_lines")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.lines, self.stream_lines = lines_for(entry.provider, entry.model)
        self.forms: dict[tuple[bool, bool], bytes | None] = {}

    def form_for(self, payload: Payload) -> bytes | None:
        """The answer as a request asks for it; None where this entry cannot tell it."""
        return self._form(payload.stream, payload.include_usage)

    def form(self, *, stream: bool, include_usage: bool) -> bytes | None:
        """The answer as it is asked for now; None where this entry cannot tell it."""
        return self._form(stream, include_usage)

    def _form(self, stream: bool, include_usage: bool) -> bytes | None:
        entry = self.entry
        asked = (stream, include_usage)
        form = self.forms.get(asked)
        if form is None and asked not in self.forms:
            if stream:
                events = replay.events(entry, include_usage=include_usage)
                form = None if events is None else b"".join([chunk for _, chunk in events])
                form = entry.body if form == entry.body else form  # no second copy of it
            else:
                form = replay.whole(entry) if entry.streamed else entry.body
            self.forms[asked] = form
        return form

    def events(self, *, include_usage: bool) -> list[tuple[int, bytes]]:
        """The stream as it came, as (milliseconds since the first, bytes); of a whole answer, all at once."""
        return replay.events(self.entry, include_usage=include_usage) or []

    @property
    def weight(self) -> int:
        """Bytes it takes: those of the entry, and as much again for another form of it."""
        return 2 * len(self.entry.body) + len(self.entry.chunks) * BYTES_PER_CHUNK

    def left_s(self) -> float:
        """Seconds for which it may still be served; never below 0, wherever the wall clock was put."""
        return max(0.0, self.entry.expires_at - time())


@lru_cache(maxsize=256)
def lines_for(provider: str, model: str) -> tuple[bytes, bytes]:
    """What a reply begins with, and a stream, and who answered."""
    if not provider:
        return JSON, EVENTS
    who = lines_of(
        [
            (b"x-edge-provider", provider.encode("ascii", "replace")),
            (b"x-edge-model", quote(model, safe=PRINTABLE).encode("ascii")),
        ]
    )
    return JSON + who, EVENTS + who


class MemoryCache:
    """By digest; what is asked for often stays (`edge/_fast/_lfu.py`). `cleared` is called when all is forgotten."""

    def __init__(self, settings: Memory, meter: Meter, generation: Generation, cleared: Callable[[], None]) -> None:
        self._cleared = cleared
        self._ttl_s = settings.ttl_s
        self._meter = meter
        self._generation = generation
        self._seen = generation.value
        self._lfu = LFUCache(settings.max_bytes)
        self._told = (0, 0, 0)
        self._writes = 0

    def get(self, digest: bytes) -> Held | None:
        if self._generation.value != self._seen:
            self.clear()
        held = self._lfu.get(digest, monotonic())
        return held if isinstance(held, Held) else None

    def put(self, digest: bytes, held: Held) -> None:
        """Keep it for what is left of its time, and no longer than ``ttl_s``."""
        now = monotonic()
        left = min(held.left_s(), self._ttl_s)
        if left > 0:
            self._lfu.put(digest, held, held.weight, now + left, now)
        self._writes += 1
        if self._writes % REPORT_EVERY == 1:
            self.report()

    def clear(self) -> None:
        self._seen = self._generation.value
        self._lfu.clear()
        self._cleared()
        self.report()

    def report(self) -> None:
        """Tell the metrics how full it is, and what had to go since the last time."""
        lfu, level = self._lfu, self._meter.level
        level("edge_cache_entries", len(lfu), "memory")
        level("edge_cache_size_bytes", lfu.weight, "memory")
        gone = (lfu.evictions, lfu.expired, lfu.rejected)
        for reason, before, after in zip(("size", "expired", "rejected"), self._told, gone, strict=True):
            if after > before:
                self._meter.count("edge_cache_evictions_total", "memory", reason, amount=after - before)
        self._told = gone
