"""A cheap client that reads many paced streams: ``python -m benchmarks.streams JOB`` prints what it saw as JSON.

It parses nothing but the end of the head, blank lines and the last chunk, so that one core carries what a server on
another core can send. The job (JSON) has ``url``, ``headers``, ``body``, ``at_once`` connections that begin spread over
``spread_s``, ``seconds`` after which no new stream is asked for, and ``step_s``, the time from event to event.

An event is due at its place in the schedule that begins when the request is written. The first event of a chat names
the role alone; a gateway may hold it back until there is content, so the clock looks from the second one on.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from urllib.parse import urlsplit

__all__ = ["main", "percentiles"]

CONTENT = 1
"""The place of the first event with content."""
LAST_CHUNK = b"\r\n0\r\n\r\n"
RETRY_S = 0.05
PATIENCE_S = 30.0
"""How long after the last stream was asked for the answers may take."""


class Found:
    """What all connections saw. Times in seconds."""

    def __init__(self, job: dict) -> None:
        url = urlsplit(job["url"])
        self.address = (url.hostname, url.port)
        body = job["body"].encode()
        lines = [f"POST {url.path} HTTP/1.1", f"host: {url.netloc}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in job["headers"].items()]
        self.request = "\r\n".join([*lines, "", ""]).encode() + body
        self.step_s = job["step_s"]
        self.until = time.perf_counter() + job["seconds"]
        self.events = self.errors = self.reading = 0
        self.first = array("d")
        self.late = array("d")


class Reader(asyncio.Protocol):
    """One connection: asks, reads to the end, asks again while there is time."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.under_way = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.head = b""
        self.in_body = False
        self.tail = b""
        self.place = 0
        self.under_way = True
        self.asked_at = time.perf_counter()
        self.transport.write(self.found.request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.in_body:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.in_body = True
            if head[9:12] != b"200":
                self.transport.close()
                return
        known = len(self.tail)
        seen = self.tail + data
        # A pair of line ends may be split over two reads; what of it was read before must not count again.
        count = seen.count(b"\n\n", max(0, known - 1))
        self.tail = seen[-len(LAST_CHUNK) :]
        if count:
            found, place = self.found, self.place
            found.events += count
            if place <= CONTENT < place + count:
                found.first.append(now - self.asked_at)
            due = self.asked_at + max(place, CONTENT) * found.step_s
            for _ in range(place + count - max(place, CONTENT)):
                found.late.append(now - due)
                due += found.step_s
            self.place = place + count
        if self.tail == LAST_CHUNK:
            self.under_way = False
            if now < self.found.until:
                self.ask()
            else:
                self.found.reading -= 1
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.under_way:
            return
        self.found.errors += 1
        self.found.reading -= 1
        if time.perf_counter() < self.found.until:
            self.task = asyncio.get_running_loop().create_task(connect(self.found, RETRY_S))


async def connect(found: Found, delay_s: float) -> None:
    found.reading += 1
    await asyncio.sleep(delay_s)
    try:
        await asyncio.get_running_loop().create_connection(lambda: Reader(found), *found.address)
    except OSError:
        found.errors += 1
        found.reading -= 1


def percentiles(values: array, *wanted: float) -> list[float]:
    """Values at these shares of all, in milliseconds; zeros if there are none."""
    ordered = sorted(values) or [0.0]
    return [ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in wanted]


async def main(job: dict) -> None:
    found = Found(job)
    begun = time.perf_counter()
    await asyncio.gather(*(connect(found, job["spread_s"] * index / job["at_once"]) for index in range(job["at_once"])))
    while found.reading and time.perf_counter() < found.until + PATIENCE_S:
        await asyncio.sleep(0.01)
    seen = {
        "events": found.events,
        "streams": len(found.first),
        "errors": found.errors + found.reading,
        "seconds": time.perf_counter() - begun,
        "first_ms": percentiles(found.first, 0.5, 0.99, 0.999),
        "late_ms": percentiles(found.late, 0.5, 0.99, 0.999),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main(json.loads(sys.argv[1])))
    else:
        uvloop.run(main(json.loads(sys.argv[1])))
