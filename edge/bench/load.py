"""The load: an asyncio client in this process, so that nothing needs to be installed.

It costs CPU itself. Times are seconds from ``perf_counter``.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

__all__ = ["Seen", "ask", "percentile", "run_loop"]

T = TypeVar("T")
PATIENCE_S = 10.0
"""How long answers may take after the last request was sent."""
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
OVERHEAD = re.compile(rb"(?i)\r\nx-edge-overhead-ms: *([\d.]+)")
SERVER_TIMING = re.compile(rb"(?i)\r\nserver-timing:[^\r]*edge;dur=([\d.]+)")
CACHE = re.compile(rb"(?i)\r\nx-edge-cache: *(\w+)")


@dataclass
class Seen:
    """What became of a load: how often which status, and the times of the answers, in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)
    """As ``x-edge-overhead-ms`` says."""
    server_timings: list[float] = field(default_factory=list)
    """As ``Server-Timing: edge`` says."""
    caches: Counter[str] = field(default_factory=Counter)
    """As ``x-edge-cache`` says."""
    failed: int = 0
    seconds: float = 0.0


class Asker(asyncio.Protocol):
    """One kept connection that asks one of `requests` after the other, with one in flight at a time.

    With a `period`, requests are due at their places in a schedule; one that goes out late because the answer before it
    was late counts from when it was due.
    """

    def __init__(self, requests: Iterator[bytes], seen: Seen, until: float, period: float, once: bool) -> None:
        self.requests = requests
        self.seen = seen
        self.until = until
        self.period = period
        self.once = once
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.buffer = b""
        self.behind = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.due = time.perf_counter()
        self._ask()

    def _ask(self) -> None:
        self.asked_at = self.due if self.behind else time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        length = LENGTH.search(head) if end else None
        if not end or (length is not None and len(body) < int(length[1])):
            return
        now = time.perf_counter()
        seen = self.seen
        seen.latencies.append(now - self.asked_at)
        seen.statuses[int(head[9:12])] += 1
        if overhead := OVERHEAD.search(head):
            seen.overheads.append(float(overhead[1]) / 1000)
        if timing := SERVER_TIMING.search(head):
            seen.server_timings.append(float(timing[1]) / 1000)
        if cache := CACHE.search(head):
            seen.caches[cache[1].decode()] += 1
        self.buffer = b""
        self.due += self.period
        if length is None or self.once or max(now, self.due) >= self.until:
            self.done.set_result(None)
            self.transport.close()
        elif self.period:
            self.behind = self.due < now
            self.loop.call_later(max(0.0, self.due - now), self._ask)
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.seen.failed += 1
            self.done.set_result(None)


async def ask(
    url: str,
    bodies: bytes | Sequence[bytes],
    *,
    seconds: float,
    connections: int,
    rate: float | None = None,
    once: bool = False,
) -> Seen:
    """POST one of `bodies` after the other, and again from the first, over kept connections for some seconds.

    At `rate` requests a second in all, or (None) each connection as soon as it has its answer. `once`: one request for
    each connection, all at once.
    """
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    each = [bodies] if isinstance(bodies, bytes) else bodies
    requests = cycle([f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in each])
    seen = Seen()
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    period = connections / rate if rate else 0.0

    async def one(delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            _, asker = await loop.create_connection(
                lambda: Asker(requests, seen, begun + seconds, period, once), parts.hostname or "", parts.port or 80
            )
            await asyncio.wait_for(asker.done, seconds + PATIENCE_S)
        except (OSError, TimeoutError):
            seen.failed += 1

    await asyncio.gather(*(one(period * index / connections) for index in range(connections)))
    seen.seconds = time.perf_counter() - begun
    return seen


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop, on asyncio's own loop where that is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    result: T = uvloop.run(main)
    return result


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of all lies, in milliseconds; not a number if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else float("nan")
