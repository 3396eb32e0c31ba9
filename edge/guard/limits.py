"""The limits of a key: requests per minute, and requests at a time. Counted in memory that all workers share
(`edge/_fast/_limits.py`), so that a limit is the same whichever worker is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from mmap import mmap
from time import monotonic_ns, time
from typing import Protocol

import xxhash

from edge._fast import TABLE_FULL, Limits
from edge.dialects.rate_limit_headers import openai_to_anthropic
from edge.errors import Headers, RateLimited
from edge.exchange import Exchange
from edge.guard.auth import Key
from edge.hooks import Meter
from edge.routes import Dialect

__all__ = ["KeyLimits", "limits_size", "shared_limits"]

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


class _Asking(Protocol):
    """An exchange, as far as the headers of its reply depend on it."""

    @property
    def key(self) -> Key | None: ...

    @property
    def dialect(self) -> Dialect: ...


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

    def take(self, exchange: Exchange) -> None:
        """One request of this exchange's key. Raises RateLimited.

        What was begun is ended with `done`.
        """
        key: Key = exchange.key
        marks = self._of(key)
        if key.concurrency is not None:
            begun = self._table.acquire(self._worker, marks.concurrency, key.concurrency)
            if begun is not True:
                self._meter.count(DECISIONS, "concurrency", "full" if begun is None else "refused")
                raise refused(key, "concurrency", f"{key.concurrency} requests at a time", SECOND_NS)
            exchange.occupies = True
            self._meter.count(DECISIONS, "concurrency", "admitted")
        if key.requests_per_minute is None:
            return
        limit = key.requests_per_minute
        wait_ns = self._table.take(marks.requests, marks.interval_ns, limit, 1, monotonic_ns())
        full = wait_ns == TABLE_FULL
        self._meter.count(DECISIONS, "requests", "full" if full else "refused" if wait_ns else "admitted")
        if wait_ns:
            wait_ns = SECOND_NS if full else wait_ns
            raise refused(key, "requests_per_minute", f"{limit} requests a minute", wait_ns)

    def pass_through(self, key: Key) -> bool:
        """One request of `key` that is answered at once. False, with nothing taken or counted, where `take` would
        refuse it.
        """
        marks = self._of(key)
        if key.concurrency is not None:
            if self._table.acquire(self._worker, marks.concurrency, key.concurrency) is not True:
                return False
            self._table.release(self._worker, marks.concurrency)
        limit = key.requests_per_minute
        if limit is not None:
            if self._table.take(marks.requests, marks.interval_ns, limit, 1, monotonic_ns()):
                return False
            self._meter.count(DECISIONS, "requests", "admitted")
        if key.concurrency is not None:
            self._meter.count(DECISIONS, "concurrency", "admitted")
        return True

    def done(self, exchange: Exchange) -> None:
        """The request has ended."""
        if exchange.occupies:
            exchange.occupies = False
            self._table.release(self._worker, self._of(exchange.key).concurrency)

    def headers(self, exchange: _Asking) -> Headers:
        """What is left to the key of who is asking, in its dialect's words; nothing for one without such a limit."""
        key = exchange.key
        if key is None or key.requests_per_minute is None:
            return []
        marks = self._of(key)
        left, full_ns = self._table.remaining(
            marks.requests, marks.interval_ns, key.requests_per_minute, monotonic_ns()
        )
        headers = [
            (b"x-ratelimit-limit-requests", b"%d" % key.requests_per_minute),
            (b"x-ratelimit-remaining-requests", b"%d" % left),
            (b"x-ratelimit-reset-requests", b"%ds" % ceil(full_ns / SECOND_NS)),
        ]
        return openai_to_anthropic(headers, time()) if exchange.dialect == "anthropic" else headers

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
