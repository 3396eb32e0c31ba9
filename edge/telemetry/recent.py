"""The latest requests, for who looks: what became of each, and of every attempt.

A worker remembers its latest `KEPT` requests as they are, which costs a request next to nothing. Only while somebody
looks are they written to memory that all workers share, so that any of them can show those of all: the latest ones, or
all that end from now on, of which those are missed, and counted, that the memory has no room for. A worker has a region
there that it alone writes.
"""

from __future__ import annotations

import time
from collections import deque
from time import time as wall
from typing import Any, NamedTuple

import msgspec

from edge.hooks import Attempted, Recorder, RequestRecord

__all__ = ["PERIOD_S", "Finished", "Recent", "Tail", "finished", "recent_size"]

KEPT = 64
"""Of each worker, while nobody looks. A power of two."""
FULL = KEPT * 3 // 4
"""So many are written at once, and not at the next period: more would be lost."""
SHARED = 512
"""Of each worker, for who looks."""
PERIOD_S = 0.5
WATCHED_S = 5.0
"""For so long after somebody has looked, workers tell."""
LONGEST = 128
"""Characters of a name that a client may have chosen."""
PICO = 1e12
ROOM = 2048
"""Bytes for one request; one that has so many attempts that it needs more is told without them."""
UNPRICED = 30
"""Upstreams without a price that a worker tells of."""
HEAD = 32768
"""Bytes of a region before its requests: how many have been written, then the upstreams without a price."""
REGION = HEAD + SHARED * ROOM
BEFORE = 64
"""Bytes before the regions: until when somebody looks, in seconds of the monotonic clock."""
AT_ONCE = 64
"""Requests of each worker that are read at once: more would hold up the loop."""


class Finished(msgspec.Struct, gc=False):
    """A finished request, as `edge.hooks.RequestRecord`: ``at`` is its end, by the wall clock; ``model`` the one that
    the client named; ``stored`` who gave a stored answer; ``asked`` how many attempts there were, of which ``attempts``
    tells where there were several, or one failed. Tokens are -1 where nobody counted them, ``cost_usd`` is None where
    no price is known.
    """

    at: float
    request_id: str
    endpoint: str
    status: int
    outcome: str
    error: str
    kind: str
    model: str
    provider: str
    upstream_model: str
    stored: str
    key: str
    tenant: str
    cache: str
    stream: bool
    asked: int
    duration_s: float
    upstream_s: float
    overhead_s: float
    first_content_s: float
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    estimated: bool
    request_bytes: int
    response_bytes: int
    pii: str
    trace_id: str
    attempts: list[Attempted]


def finished(record: RequestRecord, at: float) -> Finished:
    """A request that ended at a time of the wall clock."""
    usage = record.usage
    return Finished(
        at=round(at, 3),
        request_id=record.request_id,
        endpoint=record.endpoint,
        status=record.status,
        outcome=record.outcome,
        error=record.error_code,
        kind=record.error_kind,
        model=record.asked[:LONGEST],
        provider=record.provider,
        upstream_model=record.upstream_model[:LONGEST],
        stored=f"{record.stored_provider}/{record.stored_model}"[:LONGEST] if record.stored_provider else "",
        key=record.key_id,
        tenant=record.tenant,
        cache=record.cache,
        stream=record.stream,
        asked=record.attempts,
        duration_s=record.duration_s,
        upstream_s=record.upstream_s,
        overhead_s=record.overhead_s,
        first_content_s=record.time_to_first_content_s,
        input_tokens=usage.input if usage is not None else -1,
        output_tokens=usage.output if usage is not None else -1,
        cost_usd=record.cost / PICO if record.cost >= 0 else None,
        estimated=record.estimated,
        request_bytes=record.request_bytes,
        response_bytes=record.response_bytes,
        pii=record.pii,
        trace_id=record.trace_id,
        attempts=list(record.tried),
    )


class Tail(NamedTuple):
    """Some requests, in the order in which their workers had them; how many were missed; whether there are more."""

    found: list[Finished]
    missed: int
    more: bool


def recent_size(processes: int) -> int:
    """Bytes for so many."""
    return BEFORE + REGION * processes


class Recent(Recorder):
    """One process's, which is at `place`, from 0. `memory` is a writable buffer of `recent_size`, zeros at first, or
    what was written before.
    """

    def __init__(self, memory: Any = None, place: int = 0) -> None:
        view = memoryview(bytearray(recent_size(1)) if memory is None else memory).cast("B")
        self._view = view
        self._until = view[:8].cast("d")
        self._places = (len(view) - BEFORE) // REGION
        self._base = BEFORE + place * REGION
        self._records: list[RequestRecord | None] = [None] * KEPT
        # Numbers go on where those of the worker before this one ended, for who follows.
        self._count = self._told = self._written(place)
        self._marks: deque[tuple[int, float]] = deque([(self._count, 0.0)], maxlen=KEPT)
        self._watched = False
        self._unpriced: dict[str, int] = {}
        self._news = True

    # As an observer, and as the recorder of all kinds.

    def recorder(self, record: RequestRecord) -> Recorder:
        return self

    def done(self, record: RequestRecord) -> None:
        self._records[self._count & (len(self._records) - 1)] = record
        self._count += 1
        if record.cost < 0 and record.usage is not None and record.provider:
            self._without_price(f"{record.provider}/{record.upstream_model}"[:LONGEST])
        if self._watched and self._count - self._told >= FULL:
            self.tell(time.monotonic())

    def _without_price(self, upstream: str) -> None:
        if upstream in self._unpriced or len(self._unpriced) < UNPRICED:
            self._unpriced[upstream] = self._unpriced.get(upstream, 0) + 1
            self._news = True

    def attempt_failed(self, attempt: object) -> None:
        """The record of the request tells of it."""

    # Telling.

    def tell(self, now: float) -> None:
        """Write what is new, if somebody looks. To be called every `PERIOD_S`: that is how exactly it is told when a
        request ended, since each would have to read a clock otherwise.
        """
        if self._count != self._marks[-1][0]:
            self._marks.append((self._count, wall()))
        self._watched = self._until[0] >= now
        if not self._watched:
            # Who begins to look follows from here on, and has not missed what was before.
            self._write_count()
            return
        for number in range(max(self._told, self._count - KEPT), self._count):
            record = self._records[number % KEPT]
            if record is not None:
                at = next(at for count, at in self._marks if count > number)
                self._write(number, finished(record, at))
        self._told = self._count
        self._write_count()
        if self._news:
            self._news = False
            self._put(self._base + 8, HEAD - 8, 0, msgspec.json.encode(self._unpriced))

    def _write_count(self) -> None:
        self._view[self._base : self._base + 8] = self._count.to_bytes(8, "little")

    def _write(self, number: int, told: Finished) -> None:
        data = msgspec.json.encode(told)
        if len(data) > ROOM - 8:
            told.attempts = []
            data = msgspec.json.encode(told)
        self._put(self._base + HEAD + number % SHARED * ROOM, ROOM, number, data)

    def _put(self, start: int, room: int, number: int, data: bytes) -> None:
        """Write what a reader does not take for whole before it is."""
        view = self._view
        view[start : start + 4] = b"\0\0\0\0"  # nothing is there while it is written
        view[start + 4 : start + 8] = (number % (1 << 32)).to_bytes(4, "little")
        if len(data) > room - 8:
            return
        view[start + 8 : start + 8 + len(data)] = data
        view[start : start + 4] = len(data).to_bytes(4, "little")

    # Looking.

    def is_watched(self) -> bool:
        """Whether somebody has looked lately, so that all workers tell."""
        return bool(self._until[0] >= time.monotonic())

    def look(self) -> list[Finished]:
        """The latest of all workers, the latest first. The others begin to tell theirs within `PERIOD_S`."""
        self._watch()
        found: list[Finished] = []
        for place in range(self._places):
            count = self._written(place)
            read = [self._read(place, number) for number in range(max(count - KEPT, 0), count)]
            found += [each for each in read if each is not None]
        return sorted(found, key=lambda told: told.at)[::-1]

    def present(self) -> list[int]:
        """From where to `follow`, to be told of what ends from now on."""
        self._watch()
        return [self._written(place) for place in range(self._places)]

    def follow(self, seen: list[int]) -> Tail:
        """What has ended after what was `seen`, of all workers, which is told there."""
        self._watch()
        found: list[Finished] = []
        missed, more = 0, False
        for place in range(self._places):
            count = self._written(place)
            first = max(min(seen[place], count), count - SHARED)
            missed += max(first - seen[place], 0)
            until = min(count, first + AT_ONCE)
            read = [self._read(place, number) for number in range(first, until)]
            found += [each for each in read if each is not None]
            missed += read.count(None)
            seen[place] = until
            more = more or until < count
        return Tail(found, missed, more)

    def unpriced(self) -> dict[str, int]:
        """Upstreams ("provider/model") that have answered without a price, and how often, of the workers that run."""
        found: dict[str, int] = {}
        for place in range(self._places):
            data = self._get(BEFORE + place * REGION + 8, HEAD - 8, 0)
            for upstream, count in (msgspec.json.decode(data, type=dict[str, int]) if data else {}).items():
                found[upstream] = found.get(upstream, 0) + count
        return dict(sorted(found.items()))

    def _watch(self) -> None:
        now = time.monotonic()
        self._until[0] = now + WATCHED_S
        self.tell(now)

    def _written(self, place: int) -> int:
        start = BEFORE + place * REGION
        return int.from_bytes(self._view[start : start + 8], "little")

    def _read(self, place: int, number: int) -> Finished | None:
        data = self._get(BEFORE + place * REGION + HEAD + number % SHARED * ROOM, ROOM, number)
        return msgspec.json.decode(data, type=Finished) if data else None

    def _get(self, start: int, room: int, number: int) -> bytes:
        """What is there by this number; b"" where it is another, or is written just now."""
        view = self._view
        before = bytes(view[start : start + 8])
        size = int.from_bytes(before[:4], "little")
        if size > room - 8 or int.from_bytes(before[4:], "little") != number % (1 << 32):
            return b""
        data = bytes(view[start + 8 : start + 8 + size])
        return data if bytes(view[start : start + 8]) == before else b""
