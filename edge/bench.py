"""``edge bench``: the latency targets on this machine, measured on a simulator and an edge in processes of their own.

The load is an asyncio client in this process, so that nothing needs to be installed; it costs CPU itself, and what is
printed is the whole of client, loopback and edge. ``make bench`` measures the edge alone, beside other proxies.

Times inside are seconds from ``perf_counter``; what is printed is milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from edge import config
from edge.dialects.translators import TRANSLATORS
from edge.routes import ROUTES
from edge.state import build_state
from edge.upstreams.router import Router

__all__ = ["BenchError", "Row", "Seen", "ask", "measure", "percentile", "run_loop", "table"]

T = TypeVar("T")

CHAT = "/v1/chat/completions"
PROMPT = "What is the tallest mountain between the two seas, and who climbed it first?"
MODERATE = 200.0
"""Requests a second at which latency is measured: busy, and nowhere near a queue."""
AT_ONCE = 1000
START_S = 20.0
PATIENCE_S = 10.0
"""How long answers may take after the last request was sent."""
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
OVERHEAD = re.compile(rb"(?i)\r\nx-edge-overhead-ms: *([\d.]+)")
SERVER_TIMING = re.compile(rb"(?i)\r\nserver-timing:[^\r]*edge;dur=([\d.]+)")
LATER = "not in this version"


class BenchError(Exception):
    """What keeps the measurement from being made, for people."""


@dataclass(frozen=True, slots=True)
class Row:
    """One target. ``published``: the figure of the project that set the targets. ``met`` is None where nothing is
    measured.
    """

    what: str
    target: str
    ours: str
    met: bool | None
    published: str = ""


# The client.


@dataclass
class Seen:
    """What became of a load: how often which status, and the times of the answers, in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)
    """As ``x-edge-overhead-ms`` says."""
    server_timings: list[float] = field(default_factory=list)
    """As ``Server-Timing: edge`` says."""
    failed: int = 0
    seconds: float = 0.0


class Asker(asyncio.Protocol):
    """One kept connection that asks the same again and again, with one request under way at a time.

    With a `period`, requests are due at their places in a schedule; one that goes out late because the answer before it
    was late counts from when it was due.
    """

    def __init__(self, request: bytes, seen: Seen, until: float, period: float, once: bool) -> None:
        self.request = request
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
        self.transport.write(self.request)

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
    url: str, body: bytes, *, seconds: float, connections: int, rate: float | None = None, once: bool = False
) -> Seen:
    """POST `body` to `url` over kept connections for some seconds.

    At `rate` requests a second in all, or (None) each connection as soon as it has its answer. `once`: one request for
    each connection, all at once.
    """
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    seen = Seen()
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    period = connections / rate if rate else 0.0

    async def one(delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            _, asker = await loop.create_connection(
                lambda: Asker(request, seen, begun + seconds, period, once), parts.hostname or "", parts.port or 80
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


# The processes.


@contextlib.contextmanager
def started(command: list[str], log: Path, pattern: str) -> Iterator[str]:
    """A child for as long as the context lasts; gives what `pattern` finds in its output. Raises BenchError."""
    with log.open("w") as output:
        child = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name != "EDGE_CONFIG"},
        )
    try:
        deadline = time.monotonic() + START_S
        while not (match := re.search(pattern, log.read_text(errors="replace"))):
            if child.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
                raise BenchError(f"{command[0]} did not start: {lines[-1]}")
            time.sleep(0.02)
        yield match[1]
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()


def settings_for(upstream: str) -> dict[str, Any]:
    """A configuration as users have it, in front of the simulator."""
    provider = {"dialect": "openai", "base_url": f"{upstream}/v1", "max_connections": AT_ONCE + 100}
    # Requests are not logged: the lines would go to a file that nobody reads.
    return {"providers": {"openai": provider}, "telemetry": {"log": {"level": "warning"}}}


def raise_open_files() -> None:
    """Here and in the edge every connection takes a file or two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10240 if hard == resource.RLIM_INFINITY else min(hard, 10240)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# The targets.


def body(model: str = "gpt-5-mini") -> bytes:
    said = [{"role": "user", "content": PROMPT}]
    return json.dumps({"model": model, "messages": said, "temperature": 0.7, "max_tokens": 100}).encode()


def milliseconds(what: str, limit: float, ours: float, published: str = "") -> Row:
    return Row(what, f"< {limit:g} ms", f"{ours:.3f} ms", ours < limit, published)


def measure(quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Every target, in about 20 seconds, `quick` in about 6; `say` is told what is being done. Raises BenchError."""
    seconds = 0.6 if quick else 4.0
    raise_open_files()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        command = ["edge.simulator", "--port", "0", "--follow-stdin"]
        upstream = stack.enter_context(started(command, folder / "simulator.log", r"simulator on (\S+)\n"))
        path = folder / "edge.json"
        path.write_text(json.dumps(settings_for(upstream)))
        command = ["edge", "serve", "-c", str(path), "--port", str(free_port())]
        edge = stack.enter_context(started(command, folder / "edge.log", r"curl (http://[^/]+)/"))
        return run_loop(_measure(upstream, edge, seconds, say))


async def _measure(upstream: str, edge: str, seconds: float, say: Callable[[str], None]) -> list[Row]:
    async def load(url: str, *, at_rate: float | None = MODERATE, connections: int = 8, last: float = seconds) -> Seen:
        return checked(await ask(url, body(), seconds=last, connections=connections, rate=at_rate), url)

    await load(upstream + CHAT, last=0.3)
    await load(edge + CHAT, last=0.3)
    say(f"latency at {MODERATE:g} requests a second, direct and through the edge")
    direct, through = await load(upstream + CHAT), await load(edge + CHAT)
    say("refusals")
    refused = await ask(f"{edge}/v1/files", body(), seconds=seconds / 2, connections=8, rate=MODERATE)
    say("requests a second over 64 connections")
    busy = await load(edge + CHAT, at_rate=None, connections=64)
    say(f"{AT_ONCE:,} requests under way at once")
    crowd = await ask(edge + CHAT, body("sim-ttft-1000"), seconds=5.0, connections=AT_ONCE, once=True)
    say("routing, and translation")
    names, transforms = routing(), transforming()
    rate, answered = busy.statuses[200] / busy.seconds, crowd.statuses[200]
    rows = []
    for share in (0.5, 0.99):
        beyond = percentile(through.latencies, share) - percentile(direct.latencies, share)
        rows.append(milliseconds(f"total overhead, p{share * 100:g}", 50, beyond, "1.1 ms"))
    for what, values in (("x-edge-overhead-ms", through.overheads), ("Server-Timing", through.server_timings)):
        rows.append(milliseconds(f"the same by {what}, p99", 50, percentile(values, 0.99)))
    return [
        *rows,
        Row("memory hit", "< 1 ms", LATER, None, "0.1 ms"),
        Row("Redis hit", "1-2 ms", LATER, None),
        milliseconds("routing, a name not seen before, p99", 5, percentile(names, 0.99), "< 1 ms"),
        milliseconds("server layer: a refusal, p99", 5, percentile(refused.latencies, 0.99)),
        milliseconds("provider transform: a request and its answer, p99", 5, percentile(transforms, 0.99)),
        Row("requests a second", ">= 1,000", f"{rate:,.0f}", rate >= 1000),
        Row("connections at once", f">= {AT_ONCE:,}", f"{answered:,} answered", answered >= AT_ONCE),
    ]


def checked(seen: Seen, url: str) -> Seen:
    """`seen`, if all that was asked was answered with 200. Raises BenchError."""
    if seen.failed or set(seen.statuses) != {200}:
        raise BenchError(f"{url}: {seen.failed} connections failed, statuses {dict(seen.statuses)}")
    return seen


def routing() -> list[float]:
    """How long it takes to find the way for names that were not asked for before, in seconds, in this process."""
    providers = {
        name: config.Provider(dialect="openai", base_url="http://127.0.0.1:1/v1", models=[f"{name}-*"])
        for name in (f"provider{number}" for number in range(20))
    }
    aliases = {
        f"alias{number}": config.Model(upstreams=[config.Target(to=f"provider{number % 20}/some-model")])
        for number in range(100)
    }
    router: Router = build_state(config.Config(providers=providers, models=aliases)).router
    route = ROUTES["chat/completions"]
    taken = []
    for number in range(2000):
        name = f"alias{number}" if number < 100 else f"provider{number % 20}-model{number}"
        begun = time.perf_counter()
        router.resolve(name, route)
        taken.append(time.perf_counter() - begun)
    return taken


def transforming() -> list[float]:
    """How long a chat takes to become a request of Anthropic's and its message a chat's answer, in seconds, in this
    process.
    """
    said = "What is the tallest mountain between the two seas, and who climbed it first? " * 4
    function = {"name": "climb", "arguments": '{"height": 4000, "by": "the north side"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    request = {
        "model": "claude-haiku-4-5",
        "messages": [
            {"role": "system", "content": said},
            {"role": "user", "content": said},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": said},
        ],
        "tools": [{"type": "function", "function": {"name": "climb", "parameters": {"type": "object"}}}],
    }
    answer = {
        "id": "msg_1",
        "content": [{"type": "text", "text": said}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 100, "output_tokens": 50},
    }
    asked, answered = (json.dumps(each).encode() for each in (request, answer))
    translator = TRANSLATORS["chat"]
    taken = []
    for _ in range(1000):
        begun = time.perf_counter()
        translated = translator.request(asked, "claude-haiku-4-5")
        translator.answer(answered, translated.context, 0)
        taken.append(time.perf_counter() - begun)
    return taken


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def table(rows: list[Row]) -> list[str]:
    """The rows as text, in columns."""
    verdicts = {True: "met", False: "missed", None: "-"}
    cells = [("", "target", "ours", "verdict", "published")]
    cells += [(row.what, row.target, row.ours, verdicts[row.met], row.published or "-") for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
