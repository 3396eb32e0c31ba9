"""An open loop of requests: they are due by the clock, whether or not the answers before them have come."""

from __future__ import annotations

import asyncio
import json
import re
import resource
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter

import uvloop

HEAD = re.compile(rb"HTTP/1\.1 (\d+)[^\r]*\r\n(.*?)\r\n\r\n", re.DOTALL)


@dataclass
class Flood:
    """What became of the requests. ``took`` has the seconds of each, by status; ``hints`` how many 503s said when to
    ask again; ``lost`` counts connections that ended before an answer.
    """

    took: dict[int, list[float]] = field(default_factory=dict)
    hints: int = 0
    lost: int = 0

    @property
    def counts(self) -> Counter[int]:
        return Counter({status: len(times) for status, times in self.took.items()})

    def percentile(self, status: int, share: float) -> float:
        times = sorted(self.took.get(status, [0.0]))
        return times[min(len(times) - 1, int(len(times) * share))]


class _Asker(asyncio.Protocol):
    """One connection that asks every `pause` seconds, or as soon as its answer is here if that is later."""

    def __init__(self, flood: Flood, request: bytes, pause: float) -> None:
        self.flood, self.request, self.pause, self.ends_at = flood, request, pause, 0.0
        self.loop = asyncio.get_running_loop()
        self.done = self.loop.create_future()
        self.buffer = b""
        self.begun = 0.0
        self.due = 0.0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def start(self, delay: float, ends_at: float) -> None:
        self.due, self.ends_at = perf_counter() + delay, ends_at
        self.loop.call_later(delay, self.ask)

    def ask(self) -> None:
        self.begun = perf_counter()
        if self.begun >= self.ends_at:
            self.transport.close()
            return
        self.due = max(self.due + self.pause, self.begun - self.pause)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        match = HEAD.match(self.buffer)
        if match is None:
            return
        size = re.search(rb"(?i)content-length: (\d+)", match[2])
        if size is None or len(self.buffer) < match.end() + int(size[1]):
            return
        self.buffer = b""
        now = perf_counter()
        status = int(match[1])
        self.flood.took.setdefault(status, []).append(now - self.begun)
        self.flood.hints += status == 503 and b"retry-after:" in match[2].lower()
        self.begun = 0.0
        self.loop.call_later(max(0.0, self.due - now), self.ask)

    def connection_lost(self, exc) -> None:
        if self.begun and self.begun < self.ends_at:
            self.flood.lost += 1
        if not self.done.done():
            self.done.set_result(None)


def post(path: str, body: dict) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    )
    return head.encode() + b"\r\n\r\n" + content


async def flood(port: int, request: bytes, *, rate: float, connections: int, seconds: float) -> Flood:
    """`rate` requests a second in all, over kept connections."""
    found = Flood()
    loop = asyncio.get_running_loop()
    pause = connections / rate
    askers = []
    for _ in range(connections):
        _, asker = await loop.create_connection(lambda: _Asker(found, request, pause), "127.0.0.1", port)
        askers.append(asker)
    ends_at = perf_counter() + seconds
    for number, asker in enumerate(askers):
        asker.start(pause * number / connections, ends_at)
    await asyncio.wait_for(asyncio.gather(*(asker.done for asker in askers)), seconds + 30)
    return found


def run(coroutine):
    return uvloop.run(coroutine)


def allow_files(count: int) -> None:
    """Let this process, and those it starts, have that many files open, if the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
