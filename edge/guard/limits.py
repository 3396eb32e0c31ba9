"""The limits of a key: requests per minute, and requests at a time. Counted in memory that all workers share
(`edge/_fast/_limits.py`), so that a limit is the same whichever worker is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from mmap import mmap
from time import monotonic_ns, time

import xxhash

from edge._fast import TABLE_FULL, Limits, Spend
from edge.dialects.rate_limit_headers import openai_to_anthropic
from edge.errors import Headers, RateLimited
from edge.guard.auth import Key
from edge.hooks import Meter
from edge.routes import Dialect

__all__ = ["KeyLimits", "Lease", "limits_size", "shared_limits", "shared_spend", "spend_size"]

CELLS = 1 << 16
MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000
MAX_REMEMBERED = 65536
DECISIONS = "edge_limit_decisions_total"


def limits_size(processes: int) -> int:
    """Bytes of memory that the table for so many processes takes."""
    return Limits.size(CELLS, processes)


def shared_limits(processes: int, lock: int | None = None, memory: mmap | None = None) -> Limits:
    """The table for so many processes, forked after this. `lock` is a file's descriptor, which the pure build needs to
    keep them apart; `memory` is of the size that `limits_size` says.
    """
    return Limits(mmap(-1, limits_size(processes)) if memory is None else memory, CELLS, processes, lock)


def spend_size(processes: int) -> int:
    """Bytes of memory that money takes, which is counted for so many processes."""
    return Spend.size(CELLS, processes)


def shared_spend(processes: int, lock: int | None = None, memory: mmap | None = None) -> Spend:
    """Where so many processes count money; the parameters are those of `shared_limits`."""
    return Spend(mmap(-1, spend_size(processes)) if memory is None else memory, CELLS, processes, lock)


@dataclass(frozen=True, slots=True)
class _Marks:
    """Where a key's limits are counted: fingerprints, and what a request per minute means."""

    requests: int
    concurrency: int
    interval_ns: int


def refused(key: Key, setting: str, allowed: str, wait_ns: int) -> RateLimited:
    """The error that names the key, its limit and how long to wait."""
    seconds = max(1, ceil(wait_ns / SECOND_NS))
    return RateLimited(f"The key '{key.id}' may make {allowed} ({setting}); try again in {seconds} s.", wait_ns=wait_ns)


class KeyLimits:
    """Decides for one worker, whose number in the table is `worker`, from 1."""

    def __init__(self, table: Limits, worker: int, meter: Meter) -> None:
        self._table = table
        self._worker = worker
        self._meter = meter
        self._marks: dict[tuple[str, int | None], _Marks] = {}

    def lease(self, key: Key) -> Lease:
        """What a request of `key` is to take."""
        return Lease(self._table, self._worker, self._meter, key, self._of(key))

    def _of(self, key: Key) -> _Marks:
        known = self._marks.get((key.id, key.requests_per_minute))
        if known is None:
            name = key.id.encode()
            known = _Marks(
                xxhash.xxh3_64_intdigest(b"requests:" + name),
                xxhash.xxh3_64_intdigest(b"concurrency:" + name),
                max(1, MINUTE_NS // (key.requests_per_minute or 1)),
            )
            if len(self._marks) >= MAX_REMEMBERED:
                self._marks.clear()
            self._marks[key.id, key.requests_per_minute] = known
        return known


class Lease:
    """What one request has of its key's limits, from `take` to `end`."""

    def __init__(self, table: Limits, worker: int, meter: Meter, key: Key, marks: _Marks) -> None:
        self._table = table
        self._worker = worker
        self._meter = meter
        self._key = key
        self._marks = marks
        self._occupies = False

    def take(self) -> None:
        """One request. Raises RateLimited; what was begun is ended with `end` then too."""
        key, marks = self._key, self._marks
        if key.concurrency is not None:
            begun = self._table.acquire(self._worker, marks.concurrency, key.concurrency)
            if begun is not True:
                self._meter.count(DECISIONS, "concurrency", "full" if begun is None else "refused")
                raise refused(key, "concurrency", f"{key.concurrency} requests at a time", SECOND_NS)
            self._occupies = True
            self._meter.count(DECISIONS, "concurrency", "admitted")
        self.again()

    def again(self) -> None:
        """One request more, in the place that it has: of a connection that brings several. Raises RateLimited."""
        key, marks = self._key, self._marks
        if key.requests_per_minute is None:
            return
        limit = key.requests_per_minute
        wait_ns = self._table.take(marks.requests, marks.interval_ns, limit, 1, monotonic_ns())
        full = wait_ns == TABLE_FULL
        self._meter.count(DECISIONS, "requests", "full" if full else "refused" if wait_ns else "admitted")
        if wait_ns:
            wait_ns = SECOND_NS if full else wait_ns
            raise refused(key, "requests_per_minute", f"{limit} requests a minute", wait_ns)

    def end(self) -> None:
        """The request has ended."""
        if self._occupies:
            self._occupies = False
            self._table.release(self._worker, self._marks.concurrency)

    def left(self) -> int | None:
        """How many requests the key may make now; None for one without such a limit."""
        key, marks = self._key, self._marks
        if key.requests_per_minute is None:
            return None
        limit, now = key.requests_per_minute, monotonic_ns()
        left: int = self._table.remaining(marks.requests, marks.interval_ns, limit, now)[0]
        return left

    def headers(self, dialect: Dialect) -> Headers:
        """What is left to the key, in the words of a dialect; nothing for one without such a limit."""
        key, marks = self._key, self._marks
        if key.requests_per_minute is None:
            return []
        left, full_ns = self._table.remaining(
            marks.requests, marks.interval_ns, key.requests_per_minute, monotonic_ns()
        )
        headers = [
            (b"x-ratelimit-limit-requests", b"%d" % key.requests_per_minute),
            (b"x-ratelimit-remaining-requests", b"%d" % left),
            (b"x-ratelimit-reset-requests", b"%ds" % ceil(full_ns / SECOND_NS)),
        ]
        return openai_to_anthropic(headers, time()) if dialect == "anthropic" else headers
