"""The latest requests, for who looks: what became of each, and of every attempt.

A worker remembers its latest `KEPT` requests as they are, which costs a request next to nothing. Only while somebody
looks are they written to memory that all workers share, once a second, so that any of them can show those of all. A
worker has a region there that it alone writes.
"""

from __future__ import annotations

import time
from collections import deque
from time import time as wall
from typing import Any

import msgspec

from edge.hooks import FailedAttempt, Recorder, RequestRecord

__all__ = ["PERIOD_S", "Failed", "Finished", "Recent", "recent_size"]

KEPT = 64
"""Of each worker. A power of two."""
ATTEMPTS = 128
PERIOD_S = 0.5
WATCHED_S = 5.0
"""For so long after somebody has looked, workers tell."""
LONGEST = 128
"""Characters of a name that a client may have chosen."""
PICO = 1e12
ROOM = 2048
"""Bytes for one request; one that has so many failed attempts that it needs more is told without them."""
REGION = KEPT * ROOM
BEFORE = 64
"""Bytes before the regions: until when somebody looks, in seconds of the monotonic clock."""


class Failed(msgspec.Struct, gc=False):
    """A failed attempt, as `edge.hooks.FailedAttempt`; ``next`` is who was asked then, "" where nobody was."""

    provider: str
    model: str
    status: int
    error: str
    kind: str
    waited_s: float
    next: str


class Finished(msgspec.Struct, gc=False):
    """A finished request, as `edge.hooks.RequestRecord`: ``at`` is its end, by the wall clock; ``model`` the one that
    the client named; ``stored`` who gave a stored answer; ``asked`` how many attempts there were, of which ``attempts``
    are those that failed. Tokens are -1 where nobody counted them, ``cost_usd`` is None where no price is known.
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
    attempts: list[Failed]


def failed(attempt: FailedAttempt) -> Failed:
    following = f"{attempt.next_provider}/{attempt.next_model}"[:LONGEST] if attempt.next_provider else ""
    return Failed(
        attempt.provider,
        attempt.upstream_model[:LONGEST],
        attempt.status,
        attempt.error_code,
        attempt.error_kind,
        attempt.waited_s,
        following,
    )


def recent_size(processes: int) -> int:
    """Bytes for so many."""
    return BEFORE + REGION * processes


class Recent(Recorder):
    """One process's, which is at `place`, from 0. `memory` is a writable buffer of `recent_size`, zeros at first."""

    def __init__(self, memory: Any = None, place: int = 0) -> None:
        view = memoryview(bytearray(recent_size(1)) if memory is None else memory).cast("B")
        self._view = view
        self._until = view[:8].cast("d")
        self._places = (len(view) - BEFORE) // REGION
        self._place = place
        self._records: list[RequestRecord | None] = [None] * KEPT
        self._marks: deque[tuple[int, float]] = deque([(0, 0.0)], maxlen=KEPT)
        self._count = 0
        self._told = 0
        self._attempts: deque[FailedAttempt] = deque(maxlen=ATTEMPTS)

    # As an observer, and as the recorder of all kinds.

    def recorder(self, record: RequestRecord) -> Recorder:
        return self

    def done(self, record: RequestRecord) -> None:
        self._records[self._count & (KEPT - 1)] = record
        self._count += 1

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        self._attempts.append(attempt)

    # Telling.

    def tell(self, now: float) -> None:
        """Write what is new, if somebody looks. To be called every `PERIOD_S`: that is how exactly it is told when a
        request ended, since each would have to read a clock otherwise.
        """
        if self._count != self._marks[-1][0]:
            self._marks.append((self._count, wall()))
        if self._until[0] < now:
            return
        first = max(self._told, self._count - KEPT)
        for number in range(first, self._count):
            record = self._records[number % KEPT]
            if record is not None:
                at = next(at for count, at in self._marks if count > number)
                self._write(number, self._of(record, at))
        self._told = self._count

    def _write(self, number: int, told: Finished) -> None:
        data = msgspec.json.encode(told)
        if len(data) > ROOM - 8:
            told.attempts = []
            data = msgspec.json.encode(told)
        if len(data) > ROOM - 8:
            return
        start = BEFORE + self._place * REGION + number % KEPT * ROOM
        view = self._view
        view[start : start + 4] = b"\0\0\0\0"  # nothing is there while it is written
        view[start + 4 : start + 8] = (number % (1 << 32)).to_bytes(4, "little")
        view[start + 8 : start + 8 + len(data)] = data
        view[start : start + 4] = len(data).to_bytes(4, "little")

    def _of(self, record: RequestRecord, at: float) -> Finished:
        usage = record.usage
        attempts = [failed(each) for each in self._attempts if each.request_id == record.request_id]
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
            attempts=attempts,
        )

    # Looking.

    def look(self) -> list[Finished]:
        """Those of all workers, the latest first. The others begin to tell theirs within `PERIOD_S`."""
        now = time.monotonic()
        self._until[0] = now + WATCHED_S
        self.tell(now)
        found: list[Finished] = []
        for start in range(BEFORE, BEFORE + self._places * REGION, ROOM):
            before = bytes(self._view[start : start + 8])
            size = int.from_bytes(before[:4], "little")
            data = bytes(self._view[start + 8 : start + 8 + size]) if size <= ROOM - 8 else b""
            if not data or bytes(self._view[start : start + 8]) != before:  # another is written just now
                continue
            found.append(msgspec.json.decode(data, type=Finished))
        return sorted(found, key=lambda told: -told.at)
