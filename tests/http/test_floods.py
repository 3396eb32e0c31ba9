"""R10, R11 and R12 in short forms: slow attackers, idle connections, more than can be served. Each prints its N."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.flood import allow_files, flood, post, run
from tests.harness import Canned, Edge, chunked, providers, running, until
from tests.http.test_lifecycle import children

pytestmark = pytest.mark.early

SAID = [{"role": "user", "content": "hi"}]
CHAT = post("/v1/chat/completions", {"model": "gpt-4o", "messages": SAID})
HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture
def edge(simulator, tmp_path):
    allow_files(8192)
    config = {"server": {"max_in_flight": 200}, "providers": providers(simulator.url, max_connections=256)}
    made = Edge(tmp_path, config, forked=False)
    with running(made):
        yield made


def memory_kib(edge) -> int:
    (worker,) = children(edge.process.pid)
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{worker}/status").read_text())[1])


def files(edge) -> int:
    (worker,) = children(edge.process.pid)
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


class Attackers:
    """Connections that are opened by `open_one` and looked at until the edge has closed them."""

    def __init__(self, name: str, count: int, deadline_s: float, open_one) -> None:
        self.name, self.deadline_s, self.lifetimes = name, deadline_s, []
        self._left = []
        for number in range(count):
            self._left.append((open_one(number), time.monotonic()))

    def look(self) -> None:
        for sock, begun in list(self._left):
            try:
                while sock.recv(65536):
                    pass
            except BlockingIOError:
                continue
            except OSError:
                pass
            self.lifetimes.append(time.monotonic() - begun)
            self._left.remove((sock, begun))
            sock.close()

    def drip(self) -> None:
        for sock, _ in self._left:
            try:
                sock.send(b"x")
            except OSError:
                pass

    @property
    def left(self) -> int:
        return len(self._left)


def opened(port: int, data: bytes = b"") -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    if data:
        sock.sendall(data)
    sock.setblocking(False)
    return sock


def test_r10_slow_attackers_are_closed_at_their_deadlines_and_nobody_else_notices(edge, stalls):
    run(flood(edge.port, CHAT, rate=200, connections=20, seconds=1))
    memory, open_files = memory_kib(edge), files(edge)
    groups = [
        Attackers("idle", 500, 10, lambda _: opened(edge.port)),
        Attackers(
            "half a head", 500, 10, lambda _: opened(edge.port, b"POST /v1/chat/completions HTTP/1.1\r\nhost: l")
        ),
        Attackers("dripping", 50, 10, lambda _: opened(edge.port, b"GET /health HTTP/1.1\r\n")),
        Attackers("half a body", 50, 15, lambda _: opened(edge.port, CHAT[:-5])),
    ]
    legitimate = []
    asking = threading.Thread(
        target=lambda: legitimate.append(run(flood(edge.port, CHAT, rate=100, connections=20, seconds=16)))
    )
    asking.start()
    grown = 0
    ends_at = time.monotonic() + 20
    while any(group.left for group in groups) and time.monotonic() < ends_at:
        for group in groups:
            if group.name != "dripping":
                group.look()
        groups[2].drip()
        time.sleep(0.2)
        groups[2].look()
        grown = max(grown, memory_kib(edge) - memory)
    asking.join()
    (found,) = legitimate
    for group in groups:
        assert group.left == 0, group.name
        # Closed by the deadline and a second; the looking here takes a moment too.
        assert max(group.lifetimes) <= group.deadline_s + 1.5 + stalls.granted_s, group.name
        assert min(group.lifetimes) >= group.deadline_s - 1, group.name
    assert set(found.counts) == {200}
    assert found.lost == 0
    assert grown <= 60 * 1024
    time.sleep(0.3)
    assert files(edge) <= open_files + 25
    closed = sum(len(group.lifetimes) for group in groups)
    print(
        f"\nR10: {closed} of {closed} slow attackers closed in time, {found.counts[200]} of {found.counts[200]} ",
        end="",
    )
    print(f"others answered, p99 {found.percentile(200, 0.99) * 1000:.0f} ms, memory +{grown / 1024:.1f} MiB")


class Endless(Canned):
    """Its streams have no end. ``sent`` is how many events each connection has taken, ``left_at`` when it was closed."""

    def __init__(self):
        self.sent: dict[int, int] = {}
        self.left_at: dict[int, float] = {}
        numbers = itertools.count()
        content = {"choices": [{"index": 0, "delta": {"content": "x" * 16384}, "finish_reason": None}]}
        event = b"data: %b\n\n" % json.dumps(content).encode()
        begin, chunk = chunked([event], end=False), b"%x\r\n%b\r\n" % (len(event), event)

        def reply(_, connection):
            number = next(numbers)
            self.sent[number] = 0
            try:
                connection.sendall(begin)
                while True:
                    connection.sendall(chunk)
                    self.sent[number] += 1
            except OSError:
                self.left_at[number] = time.monotonic()

        super().__init__(reply)


def test_r10_readers_that_have_stopped_are_cut_off(tmp_path, stalls):
    """A client that takes nothing of its stream for 30 seconds has left; its provider is told."""
    count, stuck = 5, []
    with Endless() as upstream:
        edge = Edge(tmp_path, {"providers": providers(upstream.url)}, forked=False)
        with running(edge):
            for _ in range(count):
                sock = socket.socket()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(("127.0.0.1", edge.port))
                sock.sendall(post("/v1/chat/completions", {"model": "gpt-4o", "messages": SAID, "stream": True}))
                stuck.append(sock)
            # What the system keeps on the way is megabytes, and becomes more while it moves.
            before: dict[int, int] = {}
            while len(before) < count or before != upstream.sent:
                before = dict(upstream.sent)
                stalled_at = time.monotonic()
                time.sleep(2)
            memory = memory_kib(edge)
            until(lambda: len(upstream.left_at) == count, 60)
            grown = memory_kib(edge) - memory
            for sock in stuck:
                sock.close()
    waited = max(upstream.left_at.values()) - stalled_at
    assert 26 <= waited <= 31.5 + stalls.granted_s
    assert upstream.sent == before, "nothing is read for a client that reads nothing"
    assert grown <= 10 * 1024
    print(f"\nR10: {count} of {count} stuck readers cut off after {waited:.1f} s")


def test_r11_idle_connections_cost_little(edge):
    run(flood(edge.port, CHAT, rate=300, connections=30, seconds=2))
    memory = memory_kib(edge)
    count = 3000
    idle = [opened(edge.port, HEALTH) for _ in range(count)]
    for sock in idle:
        sock.settimeout(10)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    each = (memory_kib(edge) - memory) / count
    found = run(flood(edge.port, CHAT, rate=300, connections=30, seconds=4))
    for sock in idle:
        sock.close()
    print(f"\nR11: {count} idle connections at {each:.1f} KiB each, {found.counts[200]} of ", end="")
    print(f"{sum(found.counts.values())} others answered, p99 {found.percentile(200, 0.99) * 1000:.1f} ms")
    assert set(found.counts) == {200}
    assert found.lost == 0
    assert each <= 12


@pytest.mark.alone
def test_r12_three_times_too_much_is_served_up_to_the_bound_and_refused_beyond(edge):
    """An upstream of 100 ms and 200 places serve 2,000 a second; 6,000 are asked for."""
    request = post("/v1/chat/completions", {"model": "sim-ttft-100", "messages": SAID})

    async def both():
        flooding = flood(edge.port, request, rate=6000, connections=1000, seconds=6)
        watching = flood(edge.port, HEALTH, rate=20, connections=2, seconds=6)
        return await asyncio.gather(flooding, watching)

    found, health = run(both())
    served, refused = found.counts[200], found.counts[503]
    print(f"\nR12: {served + refused} asked in 6 s, {served} served, {refused} refused: p50 ", end="")
    print(f"{found.percentile(503, 0.5) * 1000:.1f} ms, p99 {found.percentile(503, 0.99) * 1000:.1f} ms; ", end="")
    print(f"health p99 {health.percentile(200, 0.99) * 1000:.1f} ms")
    assert set(found.counts) == {200, 503}
    assert found.lost == 0
    assert found.hints == refused
    assert set(health.counts) == {200}
    assert served >= 1000, "the places are used while others are refused"
