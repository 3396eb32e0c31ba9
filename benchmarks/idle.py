"""Ten thousand idle keep-alive connections: what each takes, and whether the busy ones notice.

``python -m benchmarks.idle URL N`` is the child that holds them: each has had one answer. They come from several
addresses of loopback, so that no address runs out of ports.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from functools import partial
from statistics import median
from urllib.parse import urlsplit

from benchmarks.load import CHAT
from benchmarks.process import LOAD_CORE, CannotStart, Server, Watch, open_files, pin, wait_for_quiet
from benchmarks.subjects import CHAT_PATH
from benchmarks.table import Report, mark
from edge.bench import ask, percentile, run_loop

__all__ = ["idle"]

CONNECTIONS = 10_000
SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]
AT_ONCE = 200
"""Connections that are opened at the same time: more would only fill the backlog."""
WINDOWS = 5
RATE = 400.0
"""Requests a second whose latency is measured beside the idle ones: a part of what any build can do."""


def idle(report: Report, edge: Server, url: str, seconds: float) -> None:
    """The section's rows and targets."""
    report.section(
        f"{CONNECTIONS:,} idle keep-alive connections",
        "| | p50 ms | p99 ms | errors | RSS MiB |\n|---|---|---|---|---|",
    )

    def asked(name: str) -> dict:
        command = [sys.executable, "-m", "benchmarks.idle", url, "ask", str(max(3.0, seconds))]
        wait_for_quiet()
        watch = Watch()
        got = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(LOAD_CORE), check=True)
        found = json.loads(got.stdout)
        rss = edge.rss_kib() / 1024
        latencies = f"{found['p50']:.2f} | {found['p99']:.2f}"
        report.say(f"| {name}{mark(watch.others())} | {latencies} | {found['errors']} | {rss:.0f} |")
        return found

    asked("warm-up")
    before = asked(f"{RATE:g} requests/s without them")
    rss_before = edge.rss_kib()
    command = [sys.executable, "-m", "benchmarks.idle", url, "hold", str(CONNECTIONS)]
    holder = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pin(LOAD_CORE)
    )
    try:
        held = int(holder.stdout.readline() or 0)
        if held < CONNECTIONS:
            raise CannotStart(f"only {held:,} of {CONNECTIONS:,} connections could be opened: raise `ulimit -n`")
        each_kib = (edge.rss_kib() - rss_before) / held
        beside = asked(f"{RATE:g} requests/s beside them")
    finally:
        holder.communicate()
    after = asked(f"{RATE:g} requests/s after them")
    without = (before["p99"] + after["p99"]) / 2
    report.target("an idle connection's memory", 12.0, each_kib, "KiB")
    report.target("p99 beside 10,000 idle connections", 1.5, beside["p99"] / without, "x")


# The child.


class Idler(asyncio.Protocol):
    """Asks once and then keeps still."""

    def __init__(self, request: bytes, answered: asyncio.Future) -> None:
        self.request = request
        self.answered = answered

    def connection_made(self, transport: asyncio.Transport) -> None:
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(data.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_result(False)


async def hold(url: str, count: int) -> None:
    """Open them, say how many there are, and keep them until standard input ends."""
    parts = urlsplit(url)
    body = CHAT.encode()
    head = f"POST {CHAT_PATH} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    loop = asyncio.get_running_loop()
    left = iter(range(count))
    kept = []

    async def opener() -> None:
        for number in left:
            answered = loop.create_future()
            make = partial(Idler, request, answered)
            source = (SOURCES[number % len(SOURCES)], 0)
            try:
                kept.append(await loop.create_connection(make, parts.hostname, parts.port, local_addr=source))
            except OSError:
                return
            if not await answered:
                kept.pop()

    await asyncio.gather(*(opener() for _ in range(AT_ONCE)))
    print(len(kept), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


async def measure(url: str, seconds: float) -> None:
    """Print percentiles, each the median of several windows: a stall of the machine falls into one of them."""
    p50, p99, errors = [], [], 0
    for _ in range(WINDOWS):
        seen = await ask(url + CHAT_PATH, CHAT.encode(), seconds=seconds / WINDOWS, connections=8, rate=RATE)
        p50.append(percentile(seen.latencies, 0.5))
        p99.append(percentile(seen.latencies, 0.99))
        errors += seen.failed + sum(seen.statuses.values()) - seen.statuses[200]
    print(json.dumps({"p50": median(p50), "p99": median(p99), "errors": errors}))


if __name__ == "__main__":
    open_files()
    if sys.argv[2] == "hold":
        run_loop(hold(sys.argv[1], int(sys.argv[3])))
    else:
        run_loop(measure(sys.argv[1], float(sys.argv[3])))
