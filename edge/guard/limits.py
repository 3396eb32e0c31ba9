"""The limits of a key: requests per minute, and requests at a time. Counted in memory that all workers share
(`edge/_fast/_limits.py`), so that a limit is the same whichever worker is asked.
"""

from __future__ import annotations

from math import ceil
from mmap import mmap

import xxhash

from edge._fast import TABLE_FULL, Limits, Lines, Spend
from edge.errors import RateLimited
from edge.guard.auth import Key
from edge.guard.decisions import Decisions
from edge.guard.limit_fields import REQUESTS, LimitFields
from edge.guard.moments import monotonic_ns, wall
from edge.hooks import Meter
from edge.memo import keep

__all__ = ["KeyLimits", "Lease", "limits_size", "shared_limits", "shared_spend", "spend_size"]

CELLS = 1 << 16
MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000
MAX_REMEMBERED = 65536


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


class Marks:
    """Where a key's limits are counted: fingerprints, what a request per minute means, and the limits themselves, -1
    where the key has none of that kind. ``fields`` tell what is left.
    """

    def __init__(self, key: Key, fields: LimitFields) -> None:
        name = key.id.encode()
        self.requests = xxhash.xxh3_64_intdigest(b"requests:" + name)
        self.concurrency = xxhash.xxh3_64_intdigest(b"concurrency:" + name)
        self.interval_ns = max(1, MINUTE_NS // (key.requests_per_minute or 1))
        self.limit = bound(key.requests_per_minute)
        self.at_a_time = bound(key.concurrency)
        self.fields = fields


def bound(setting: int | None) -> int:
    """-1 for none."""
    return -1 if setting is None else setting


def refused(key: Key, setting: str, allowed: str, wait_ns: int) -> RateLimited:
    """The error that names the key, its limit and how long to wait."""
    seconds = max(1, ceil(wait_ns / SECOND_NS))
    return RateLimited(f"The key '{key.id}' may make {allowed} ({setting}); try again in {seconds} s.", wait_ns=wait_ns)


class KeyLimits:
    """Decides for one worker, whose number in the table is `worker`, from 1."""

    def __init__(self, table: Limits, worker: int, meter: Meter) -> None:
        self.table = table
        self.worker = worker
        self.concurrency = Decisions(meter, "concurrency")
        self.requests = Decisions(meter, "requests")
        self._marks: dict[str, Marks] = {}
        # Of the key that asked last, which most often asks next.
        self._key: Key | None = None
        self._latest: Marks = None  # type: ignore[assignment]
        self._fields: dict[int | None, LimitFields] = {}

    def lease(self, key: Key) -> Lease:
        """What a request of `key` is to take."""
        if key is not self._key:
            self._latest = self._marks_of(key)
            self._key = key
        lease = Lease.__new__(Lease)
        lease.begin(self, key, self._latest)
        return lease

    def _marks_of(self, key: Key) -> Marks:
        marks = self._marks.get(key.id)
        if marks is None or marks.limit != bound(key.requests_per_minute) or marks.at_a_time != bound(key.concurrency):
            marks = keep(self._marks, key.id, Marks(key, self._fields_of(key.requests_per_minute)), MAX_REMEMBERED)
        return marks

    def _fields_of(self, limit: int | None) -> LimitFields:
        """Many keys have the same limit."""
        found = self._fields.get(limit)
        return keep(self._fields, limit, LimitFields(REQUESTS, b"%d" % (limit or 0))) if found is None else found


class Lease:
    """What one request has of its key's limits, from `take` to `end`."""

    def __init__(self, limits: KeyLimits, key: Key, marks: Marks) -> None:
        self.begin(limits, key, marks)

    def begin(self, limits: KeyLimits, key: Key, marks: Marks) -> None:
        """As it is made: nothing is taken."""
        self._limits = limits
        self._key = key
        self._marks = marks
        self._occupies = False

    def take(self) -> None:
        """One request. Raises RateLimited; what was begun is ended with `end` then too."""
        limits, marks = self._limits, self._marks
        if marks.at_a_time >= 0:
            begun = limits.table.acquire(limits.worker, marks.concurrency, marks.at_a_time)
            if begun is not True:
                limits.concurrency.other("full" if begun is None else "refused")
                raise refused(self._key, "concurrency", f"{marks.at_a_time} requests at a time", SECOND_NS)
            self._occupies = True
            limits.concurrency.admitted()
        self.again()

    def again(self) -> None:
        """One request more, in the place that it has: of a connection that brings several. Raises RateLimited."""
        limits, marks = self._limits, self._marks
        if marks.limit < 0:
            return
        wait_ns = limits.table.take(marks.requests, marks.interval_ns, marks.limit, 1, monotonic_ns())
        if wait_ns == 0:
            limits.requests.admitted()
            return
        full = wait_ns == TABLE_FULL
        limits.requests.other("full" if full else "refused")
        wait_ns = SECOND_NS if full else wait_ns
        raise refused(self._key, "requests_per_minute", f"{marks.limit} requests a minute", wait_ns)

    def end(self) -> None:
        """The request has ended."""
        if self._occupies:
            self._occupies = False
            self._limits.table.release(self._limits.worker, self._marks.concurrency)

    def left(self) -> int | None:
        """How many requests the key may make now; None for one without such a limit."""
        marks = self._marks
        if marks.limit < 0:
            return None
        left: int = self._limits.table.remaining(marks.requests, marks.interval_ns, marks.limit, monotonic_ns())[0]
        return left

    def kinds(self) -> int:
        """Which limits `write` tells of, as bits of `edge.guard.limit_fields`."""
        return REQUESTS if self._marks.limit >= 0 else 0

    def write(self, to: Lines, anthropic: bool) -> None:
        """What is left to the key, in Anthropic's words or in OpenAI's; nothing for one without such a limit."""
        marks, table = self._marks, self._limits.table
        if marks.limit < 0:
            return
        ahead_ns = table.ahead(marks.requests, monotonic_ns())
        marks.fields.begin(to, anthropic)
        to.whole(table.left(marks.interval_ns, marks.limit, ahead_ns))
        marks.fields.end(to, anthropic, (ahead_ns + SECOND_NS - 1) // SECOND_NS, wall())
