"""``make bench-instructions``: the instructions that one worker executes for a request, counted by callgrind.

A time depends on what else the machine does; this hardly does: two runs differ by about 1 %. Counted are user space's
instructions of the worker's process, its log thread included, warm, over a few kept connections. What is printed is the
difference of two runs of different length by the difference of their lengths, so starting and connecting drop out, and
so does what an idle worker does in that time.

What is done by the clock, such as handing lines to the log's thread, is shared by fewer requests than in earnest, since
under callgrind each takes fifty times as long.

``python -m benchmarks.instructions [--only ROW ...] [--python PATH] [--check] [--write]``. ``--check`` takes the rows
that have ceilings, and ends with 1 if one is above its own.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, repeat
from pathlib import Path
from threading import Thread

from benchmarks.callgrind import Counted
from benchmarks.load import CHAT, FOUR_HEADERS, SIXTEEN_HEADERS
from benchmarks.lockstep import Asked, Upstream, ask, post
from benchmarks.process import CannotStart
from benchmarks.routing import UPSTREAMS, aliases
from benchmarks.subjects import CHAT_PATH, Redis, free_port
from benchmarks.yardsticks import nginx_command, version

__all__ = ["main"]

LANDED = Path(__file__).with_suffix(".json")
HEADROOM = 1.15
"""A ceiling is the landed figure times this."""
CHECKED = ("forward", "quotas", "401", "hit", "event")
"""The rows with ceilings."""
CONNECTIONS = 8
STREAMS = 4
"""At a time."""
WARM, FEW, MANY = 60, 40, 200
"""Requests before counting, in the short run and in the long one."""
SHORT, LONG = 40, 160
"""Events of content in a short stream and in a long one."""
IDLE_S = 2.0
SETTLE_S = 0.2
"""What follows an answer, such as the writing of its line, is done within this time."""
INTERPRETER = """
import json, platform, sysconfig
from edge._fast import COMPILED
optimized = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
# Debian builds with a profile, and takes the flag out of what it installs.
pgo = optimized or sysconfig.get_config_var("PGO_PROF_USE_FLAG") == ""
print(json.dumps([platform.python_implementation(), platform.python_version(), pgo, COMPILED]))
"""
# Where the edge is installed it must not be taken from the folder that this is called in.
SAFE = "-P"

PLAIN, LIMITED, METERED = "lea_plain_instructions", "lea_limited_instructions", "lea_metered_instructions"
TRANSLATED = {**json.loads(CHAT), "model": "claude-haiku-4-5"}
RESPONSES_PATH = "/v1/responses"
RESPONSE = {"model": json.loads(CHAT)["model"], "input": json.loads(CHAT)["messages"], "store": False}
TRACED = {"traced": 0.0, "traced-kept": 1.0}
"""The share of traces that is kept."""


@dataclass(frozen=True)
class Row:
    """``server`` names what is asked, ``requests`` gives what it is asked. With ``events``, which gives requests for
    streams of so many events of content, each of these is counted.
    """

    name: str
    title: str
    server: str
    requests: Callable[[], Iterator[bytes]]
    status: bytes = b"200"
    events: Callable[[int], Callable[[], Iterator[bytes]]] | None = None


def signed(headers: dict[str, str], key: str = PLAIN) -> dict[str, str]:
    return {**headers, "authorization": f"Bearer {key}"}


def always(path: str, headers: dict[str, str], body: str = CHAT) -> Callable[[], Iterator[bytes]]:
    request = post(path, headers, body.encode())
    return lambda: repeat(request)


NUMBERS = count(1)


def strangers() -> Iterator[bytes]:
    """Each request has a key that nobody has."""
    return (post(CHAT_PATH, signed(FOUR_HEADERS, f"lea_nobody_{n:032}"), CHAT.encode()) for n in NUMBERS)


def lost() -> Iterator[bytes]:
    """Each request has a head that never came before, and a route that is not there."""
    few = signed(FOUR_HEADERS)
    return (post("/v1/uploads", {**few, "user-agent": f"client/{n:032}"}, CHAT.encode()) for n in NUMBERS)


def different() -> Iterator[bytes]:
    """Requests of which no two ask the same."""
    chat = json.loads(CHAT)
    return (post(CHAT_PATH, signed(FOUR_HEADERS), json.dumps({**chat, "seed": n}).encode()) for n in NUMBERS)


def streams(
    chat: dict, path: str = CHAT_PATH, said_in: str = "messages"
) -> Callable[[int], Callable[[], Iterator[bytes]]]:
    """Of that many events of content each."""

    def of(events: int) -> Callable[[], Iterator[bytes]]:
        def requests() -> Iterator[bytes]:
            for n in NUMBERS:
                said = [{"role": "user", "content": f"stream-{n}-of-{events}-events"}]
                body = json.dumps({**chat, said_in: said, "stream": True}).encode()
                yield post(path, signed(FOUR_HEADERS), body)

        return requests

    return of


def rows() -> tuple[Row, ...]:
    chat = json.loads(CHAT)
    few, sdk = signed(FOUR_HEADERS), signed(SIXTEEN_HEADERS)
    asked = always(CHAT_PATH, few)
    return (
        Row("nginx-proxy", "nginx, `proxy_pass`", "nginx", asked),
        Row("nginx-return", "nginx, `return 200`", "nginx", always("/canned", few)),
        Row("nginx-event", "nginx, event, `proxy_buffering off`", "nginx-streams", asked, events=streams(chat)),
        Row("forward", "forward, 4 headers", "edge", asked),
        Row("forward-16", "forward, the SDKs' 16 headers", "edge", always(CHAT_PATH, sdk)),
        Row("limits", "forward, a key with limits", "edge", always(CHAT_PATH, signed(FOUR_HEADERS, LIMITED))),
        Row("quotas", "the same, of tokens and money too", "edge", always(CHAT_PATH, signed(FOUR_HEADERS, METERED))),
        Row("responses", "forward, a response", "edge", always(RESPONSES_PATH, few, json.dumps(RESPONSE))),
        Row("translated", "forward, translated", "edge", always(CHAT_PATH, few, json.dumps(TRANSLATED))),
        *routed(),
        Row("401", "401, known head", "edge", always(CHAT_PATH, signed(FOUR_HEADERS, "lea_nobody")), b"401"),
        Row("401-new", "401, a new key each time", "edge", strangers, b"401"),
        Row("404", "404, known head", "edge", always("/v1/uploads", few), b"404"),
        Row("404-new", "404, a new head each time", "edge", lost, b"404"),
        Row("event", "event, relayed", "edge", asked, events=streams(chat)),
        Row("event-responses", "event of a response", "edge", asked, events=streams(RESPONSE, RESPONSES_PATH, "input")),
        Row("event-translated", "event, translated", "edge", asked, events=streams(TRANSLATED)),
        Row("silent", "forward, no log, no trace, no metrics of the GenAI conventions", "silent", asked),
        Row("traced", "forward, traces on, not kept", "traced", asked),
        Row("traced-kept", "forward, its trace kept and sent to a collector", "traced-kept", asked),
        Row("hit", "hit in memory", "caching", asked),
        Row("miss", "miss, its answer stored", "caching", different),
        Row("redis", "hit in Redis", "redis", asked),
    )


def routed() -> Iterator[Row]:
    """By an alias of one upstream, and of ten, by each strategy."""
    for name in (*aliases(1), *aliases(UPSTREAMS)):
        strategy, _, number = name.rpartition("-")
        if number == "1" and strategy != "round_robin":
            continue  # there is nothing to choose
        title = f"forward, `{strategy}`, {number} upstreams" if number != "1" else "forward, an alias of one upstream"
        body = json.dumps({**json.loads(CHAT), "model": name})
        yield Row(name, title, "edge", always(CHAT_PATH, signed(FOUR_HEADERS), body))


def configuration(upstream: str, cache: dict | None) -> dict:
    """Everything on that has a price: keys, limits, the log, prices."""
    provider = {"base_url": f"{upstream}/v1", "api_keys": ["sk-upstream-upstream"], "max_connections": 64}
    limits = {"requests_per_minute": 1_000_000_000, "concurrency": 1000}
    quotas = {"tokens_per_minute": 1_000_000_000, "budget": {"usd": 1_000_000, "per": "day"}}
    keys = (("plain", PLAIN, {}), ("limited", LIMITED, limits), ("metered", METERED, {**limits, **quotas}))
    config = {
        "providers": {
            "openai": {**provider, "dialect": "openai", "priced_as": "openai"},
            "anthropic": {**provider, "dialect": "anthropic", "priced_as": "anthropic"},
        },
        "models": {**aliases(1), **aliases(UPSTREAMS)},
        "auth": {
            "keys": [
                {"id": name, "digests": [f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"], **more}
                for name, key, more in keys
            ],
            "failures_per_minute": 1_000_000,  # refusals are what some rows measure
        },
        "telemetry": {"log": {"level": "info", "format": "json"}},
    }
    return config if cache is None else {**config, "cache": cache}


class Taking(BaseHTTPRequestHandler):
    """Takes what it is sent, and forgets it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Servers:
    """The servers that rows ask, each started when the first of them does, and stopped with the last."""

    def __init__(self, python: str, upstream: str, folder: Path) -> None:
        self._python, self._upstream, self._folder = python, upstream, folder
        self._stack = ExitStack()
        self._name = ""
        self._got: tuple[Counted, int] | None = None

    def get(self, name: str) -> tuple[Counted, int]:
        """The server and its port; the one before, if that was another, is stopped."""
        if self._got is None or name != self._name:
            self.close()
            self._name = name
            self._got = self._nginx(name) if name.startswith("nginx") else self._edge(name)
            self._stack.callback(self._got[0].stop)
        return self._got

    def _nginx(self, name: str) -> tuple[Counted, int]:
        command, port, unbuffered = nginx_command(self._upstream, self._folder)
        health = f"http://127.0.0.1:{port}/canned"
        server = Counted(*command, health=health, counted=lambda pids: pids[0], env=dict(os.environ))
        return server, unbuffered if name == "nginx-streams" else port

    def _edge(self, name: str) -> tuple[Counted, int]:
        cache: dict | None = None
        if name == "caching":
            cache = {"mode": "all"}
        elif name == "redis":
            store = Redis()
            self._stack.callback(store.stop)
            cache = {"mode": "all", "memory": {"max_bytes": 0}, "redis": {"url": store.url}}
        path = self._folder / f"{name}.json"
        config = configuration(self._upstream, cache)
        config["limits"] = {"file": str(self._folder / f"{name}.sqlite")}
        if name == "silent":
            config["telemetry"] = {"log": {"level": "error"}, "genai_metrics": False}
        if name in TRACED:
            config["telemetry"] |= {"tracing": {"otlp_endpoint": self._collector(), "sample": TRACED[name]}}
        path.write_text(json.dumps(config))
        port = free_port()
        command = [self._python, SAFE, "-m", "edge", "serve", "-c", str(path), "--port", str(port)]
        # The supervisor's only child is the worker.
        health = f"http://127.0.0.1:{port}/health/ready"
        server = Counted(*command, health=health, counted=lambda pids: pids[1], env=environment())
        return server, port

    def _collector(self) -> str:
        """The address of one that takes everything, in a thread of this process."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self._stack.callback(server.shutdown)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    def close(self) -> None:
        self._got = None
        self._stack.close()


def environment() -> dict[str, str]:
    """Without what would configure an edge."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENAI_", "ANTHROPIC_", "EDGE_", "PYTHON"))
    }


async def measure(row: Row, servers: Servers, upstream: Upstream) -> float:
    """Instructions for each request, or each event. Raises CannotStart and RuntimeError."""
    server, port = servers.get(row.server)
    asked = Asked(port, row.requests(), row.status, upstream.step)

    async def cost(requests: Callable[[], Iterator[bytes]], number: int, connections: int) -> int:
        """Of that many requests, without what an idle server would have executed meanwhile."""
        before, begun = server.count(), time.monotonic()
        await ask(replace(asked, requests=requests()), number, connections)
        await asyncio.sleep(SETTLE_S)
        took, after = time.monotonic() - begun, server.count()
        return round(after - before - idle * took)

    idle = 0.0
    if row.events is None:
        few, many = (row.requests, FEW, CONNECTIONS), (row.requests, MANY, CONNECTIONS)
        units = MANY - FEW
    else:
        few, many = (row.events(SHORT), STREAMS, STREAMS), (row.events(LONG), STREAMS, STREAMS)
        units = STREAMS * (LONG - SHORT)
    await cost(*(few if row.events else (row.requests, WARM, CONNECTIONS)))
    before, begun = server.count(), time.monotonic()
    await asyncio.sleep(IDLE_S)
    idle = (server.count() - before) / (time.monotonic() - begun)
    short = await cost(*few)
    return (await cost(*many) - short) / units


@dataclass(frozen=True)
class Interpreter:
    """Of the edge that is measured. ``name`` is what ceilings are kept by: patch releases are alike."""

    version: str
    name: str
    compiled: bool


def interpreter(python: str) -> Interpreter:
    """Raises CannotStart."""
    got = subprocess.run([python, SAFE, "-c", INTERPRETER], capture_output=True, text=True, env=environment())
    if got.returncode:
        raise CannotStart(f"the edge is not installed for {python}: {got.stderr.strip().splitlines()[-1]}")
    implementation, number, pgo, compiled = json.loads(got.stdout)
    profile = "with PGO" if pgo else "without PGO"
    minor = number.rpartition(".")[0]
    return Interpreter(f"{implementation} {number} {profile}", f"{implementation} {minor} {profile}", compiled)


async def run(chosen: list[Row], python: str) -> dict[str, float]:
    """What each row costs; rows whose servers are not here say so and are left out."""
    found: dict[str, float] = {}
    upstream = Upstream()
    listener = await upstream.start()
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(python, upstream.url, Path(folder))
        try:
            for row in chosen:
                try:
                    found[row.name] = await measure(row, servers, upstream)
                except CannotStart as error:
                    if "valgrind" in str(error) or row.name in CHECKED:
                        raise
                    print(f"| {row.title} | {error} |", flush=True)
                else:
                    print(f"| {row.title} | {found[row.name]:,.0f} |", flush=True)
        finally:
            servers.close()
            listener.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    known = {row.name: row for row in rows()}
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=known, default=[], help=f"of {', '.join(known)}")
    parser.add_argument("--python", default=sys.executable, help="whose edge is measured (default: this one's)")
    parser.add_argument("--check", action="store_true", help=f"measure {', '.join(CHECKED)} against their ceilings")
    parser.add_argument("--write", action="store_true", help=f"keep the figures that are checked in {LANDED.name}")
    options = parser.parse_args()
    names = options.only or (CHECKED if options.check else known)
    try:
        subject = interpreter(options.python)
        landed = json.loads(LANDED.read_text())
        if options.check and not options.write and (not subject.compiled or subject.name not in landed):
            build = "" if subject.compiled else ", pure build"
            print(f"0 passed, 0 failed, 1 skipped: there are no ceilings for {subject.name}{build}")
            return 0
        build = "compiled" if subject.compiled else "pure"
        print(f"{subject.version}, {build} build, nginx {version() or 'not here'}: instructions per request or event\n")
        print("| | instructions |\n|---|---|", flush=True)
        found = asyncio.run(run([known[name] for name in names], options.python))
    except (CannotStart, RuntimeError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    if options.write:
        kept = {name: round(found[name]) for name in CHECKED if name in found}
        landed[subject.name] = {**landed.get(subject.name, {}), **kept}
        LANDED.write_text(json.dumps(landed, indent=1, sort_keys=True) + "\n")
    return judge(found, landed[subject.name]) if options.check else 0


def judge(found: dict[str, float], landed: dict[str, int]) -> int:
    """Print what is above its ceiling; 1 if anything is."""
    above = [name for name in CHECKED if name in found and found[name] > landed.get(name, 0) * HEADROOM]
    for name in above:
        print(f"{name}: {found[name]:,.0f} is above its ceiling of {landed.get(name, 0) * HEADROOM:,.0f}")
    print(f"{len(found) - len(above)} passed, {len(above)} failed")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
