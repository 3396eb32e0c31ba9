"""``edge bench``: the latency targets on this machine, measured on a simulator and edges in processes of their own.

What is printed is the whole of client, loopback and edge. ``make bench`` measures the edge alone, beside other proxies.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge import config
from edge.bench.load import Seen, ask, percentile, run_loop
from edge.bench.processes import (
    BenchError,
    free_port,
    free_share,
    python,
    raise_open_files,
    redis_server,
    said,
    serving,
    started,
)
from edge.dialects.translators import TRANSLATORS
from edge.routes import ROUTES
from edge.state import build_state
from edge.upstreams.router import Router

__all__ = ["Measured", "Row", "measure", "table"]

CHAT = "/v1/chat/completions"
PROMPT = "What is the tallest mountain between the two seas, and who climbed it first?"
MODERATE = 200.0
"""Requests a second at which latency is measured: busy, and nowhere near a queue."""
AT_ONCE = 1000
QUIET = 0.85
"""The share of the cores that has to be free, before and after, for the figures to be judged."""
STORED_S = 0.3
"""Answers are stored behind the client's back."""
HITS = 0.9
"""The share of answers that have to come from the cache for its figure to be one of hits."""


@dataclass(frozen=True, slots=True)
class Row:
    """One target. ``published``: the figure of the project that set the targets. ``met`` is None where nothing is
    judged.
    """

    what: str
    target: str
    ours: str
    met: bool | None
    published: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """``free``: the share of the cores that others left, the lower of before and after. Below `QUIET` no row is
    judged.
    """

    rows: list[Row]
    free: float

    @property
    def quiet(self) -> bool:
        return self.free >= QUIET


def settings_for(upstream: str, redis: str | None) -> dict[str, Any]:
    """A configuration as users have it, in front of the simulator; the alias ``kept`` has its answers cached."""
    provider = {"dialect": "openai", "base_url": f"{upstream}/v1", "max_connections": AT_ONCE + 100}
    return {
        "providers": {"openai": provider},
        "models": {"kept": {"upstreams": [{"to": "openai/gpt-5-mini"}], "cache": "all"}},
        "cache": {"redis": {"url": redis} if redis else None},
        # Requests are not logged: the lines would go to a file that nobody reads.
        "telemetry": {"log": {"level": "warning"}},
    }


def body(model: str = "gpt-5-mini", prompt: str = PROMPT) -> bytes:
    said = [{"role": "user", "content": prompt}]
    return json.dumps({"model": model, "messages": said, "temperature": 0.7, "max_tokens": 100}).encode()


def milliseconds(what: str, limit: float, ours: float, published: str = "") -> Row:
    """A row of a time in milliseconds. One that is not above 0 is lost in the noise, and says nothing."""
    if math.isnan(ours):
        return Row(what, f"< {limit:g} ms", "not measured", None, published)
    if ours <= 0:
        return Row(what, f"< {limit:g} ms", "lost in the noise", None, published)
    return Row(what, f"< {limit:g} ms", f"{ours:.3f} ms", ours < limit, published)


def hits(what: str, tier: str, limit: float, seen: Seen, published: str = "") -> Row:
    """A row of the answers that came from a tier of the cache."""
    found = seen.caches[tier] / max(1, sum(seen.statuses.values()))
    if found < HITS:
        return Row(what, f"< {limit:g} ms", f"{found:.0%} were hits", None, published)
    return milliseconds(what, limit, percentile(seen.latencies, 0.99), published)


def measure(quick: bool, say: Callable[[str], None]) -> Measured:
    """Every target, in about 30 seconds, `quick` in about 8; `say` is told what is being done. Raises BenchError."""
    seconds = 0.6 if quick else 4.0
    raise_open_files()
    say("the machine")
    before = free_share()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        command = python("edge.simulator", "--port", "0", "--follow-stdin")
        upstream = stack.enter_context(started(command, folder / "simulator.log", said(r"simulator on (\S+)\n")))
        redis = stack.enter_context(redis_server(folder))
        path = folder / "edge.json"
        path.write_text(json.dumps(settings_for(upstream, redis)))
        # What the first stores in Redis the second finds there, and not in its own memory.
        edges = []
        for port in (free_port(), free_port())[: 1 if redis is None else 2]:
            command = python("edge", "serve", "-c", str(path), "--port", str(port))
            edges.append(stack.enter_context(started(command, folder / f"edge-{port}.log", serving(port))))
        rows = run_loop(_measure(upstream, edges, seconds, say))
    free = min(before, free_share())
    measured = Measured(rows, free)
    return measured if measured.quiet else Measured([replace(row, met=None) for row in rows], free)


async def _measure(upstream: str, edges: list[str], seconds: float, say: Callable[[str], None]) -> list[Row]:
    edge = edges[0]

    async def load(url: str, *, at_rate: float | None = MODERATE, connections: int = 8, last: float = seconds) -> Seen:
        return checked(await ask(url, body(), seconds=last, connections=connections, rate=at_rate), url)

    await load(upstream + CHAT, last=0.3)
    await load(edge + CHAT, last=0.3)
    say(f"latency at {MODERATE:g} requests a second, direct and through the edge")
    direct, through = await load(upstream + CHAT), await load(edge + CHAT)
    say("hits")
    kept = body("kept")
    await ask(edge + CHAT, kept, seconds=0.1, connections=1)
    memory = await ask(edge + CHAT, kept, seconds=seconds, connections=8, rate=MODERATE)
    redis = await _from_redis(edges, seconds)
    say("refusals")
    refused = await ask(f"{edge}/v1/files", body(), seconds=seconds / 2, connections=8, rate=MODERATE)
    say("requests a second over 64 connections")
    busy = await load(edge + CHAT, at_rate=None, connections=64)
    say(f"{AT_ONCE:,} requests in flight at once")
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
        hits("memory hit, p99", "memory", 1, memory, "0.1 ms"),
        redis,
        milliseconds("routing, a name not seen before, p99", 5, percentile(names, 0.99), "< 1 ms"),
        milliseconds("server layer: a refusal, p99", 5, percentile(refused.latencies, 0.99)),
        milliseconds("provider transform: a request and its answer, p99", 5, percentile(transforms, 0.99)),
        Row("requests a second", ">= 1,000", f"{rate:,.0f}", rate >= 1000),
        Row("connections at once", f">= {AT_ONCE:,}", f"{answered:,} answered", answered >= AT_ONCE),
    ]


async def _from_redis(edges: list[str], seconds: float) -> Row:
    """What one edge has stored, asked from another, each once."""
    what, limit = "Redis hit, p99", 2.0
    if len(edges) < 2:
        return Row(what, f"< {limit:g} ms", "no redis-server here", None)
    first, second = edges
    bodies = [body("kept", f"{PROMPT} {number}") for number in range(int(seconds * MODERATE) + 50)]
    await ask(first + CHAT, bodies, seconds=1.1 * len(bodies) / (2 * MODERATE), connections=4, rate=2 * MODERATE)
    await asyncio.sleep(STORED_S)
    seen = await ask(second + CHAT, bodies, seconds=seconds, connections=8, rate=MODERATE)
    return hits(what, "redis", limit, seen)


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
    translator = TRANSLATORS["chat", "messages"]
    taken = []
    for _ in range(1000):
        begun = time.perf_counter()
        translated = translator.request(asked, "claude-haiku-4-5")
        translator.answer(answered, translated.context, 0)
        taken.append(time.perf_counter() - begun)
    return taken


def table(rows: list[Row]) -> list[str]:
    """The rows as text, in columns."""
    verdicts = {True: "met", False: "missed", None: "-"}
    cells = [("", "target", "ours", "verdict", "published")]
    cells += [(row.what, row.target, row.ours, verdicts[row.met], row.published or "-") for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
