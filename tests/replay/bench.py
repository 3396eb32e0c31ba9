"""An edge of the played tree with upstreams of its own, and what everybody saw while a case was played on it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.harness import Client, Edge, Process, clean_environment, free_port, wait_until_ready
from tests.redis_servers import RedisServer
from tests.replay.canonical import Placeholders, answer_of, delta, line_of, request_of, series
from tests.replay.client import Connection
from tests.replay.setups import SETUPS, key, understood
from tests.replay.upstream import Exchange, Reply, Upstream

__all__ = ["VARIANTS", "Bench", "Case", "Play"]

VARIANTS = ("lane", "asgi", "uvicorn", "pure")
"""Both fronts of ``edge serve``, the application under uvicorn alone, and the pure build."""
START_S = 120.0
"""Many edges may be starting at a time, on a machine that does other things too."""
SETTLE_S = 15.0
LEAVE_S = 3.0
"""An edge leaves an upstream whose client has left within 0.1 s; a busy machine may take longer."""
BARRIER = (
    "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-request-id: {}\r\nauthorization: Bearer {}\r\n"
    "content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
)
"""It names no model, so that no upstream is asked."""
SCRAPE = f"GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key('admin')}\r\n\r\n".encode()
STALLED = '"event":"worker stalled'
BY_CLOCK = '"event":"upstream'
"""What is told of upstreams and keys is found out by a look now and then, in whichever case that falls."""
IN_FLIGHT = "edge_requests_in_flight"


@dataclass(frozen=True)
class Case:
    """``play`` does what clients do; all else is written down by itself. ``variants``: where it makes sense."""

    setup: str
    name: str
    play: Callable[[Play], None]
    variants: tuple[str, ...] = VARIANTS

    @property
    def title(self) -> str:
        return f"{self.setup}/{self.name}"


@dataclass
class Play:
    """What a case has in its hands."""

    bench: Bench
    title: str
    clients: list[Connection] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    volatile: list[str] = field(default_factory=list)
    """Patterns of what differs from play to play in this case alone."""

    @property
    def id(self) -> str:
        """The beginning of the identifiers of the case's requests."""
        return "rp-" + hashlib.sha256(self.title.encode()).hexdigest()[:12]

    @property
    def said(self) -> str:
        """A prompt of the case's own, whose answer by the simulator repeats it."""
        return f"say nonce:{hashlib.sha256(self.title.encode()).hexdigest()[:16]}"

    def client(self, who: str = "", *fields: str, own_id: bool = True) -> Connection:
        """A connection of the key `who`, where there are keys; without `own_id` the edge makes the identifiers."""
        credentials = (f"authorization: Bearer {key(who)}",) if who else ()
        number = len(self.clients) + 1
        made = Connection(self.bench.port, *credentials, *fields, id=f"{self.id}-{number}" if own_id else "")
        self.clients.append(made)
        return made

    def script(self, upstream: str, *replies: Reply, early: bool = False) -> Upstream:
        """What the upstream answers in this case, request by request; the last one to all that follow."""
        made = self.bench.upstreams[upstream]
        made.script, made.early = list(replies), early
        return made

    def event(self) -> threading.Event:
        return threading.Event()

    def asked(self, upstream: str, count: int = 1, whole: bool = True) -> list[Exchange]:
        """Wait until the upstream has been asked so often."""
        made = self.bench.upstreams[upstream]
        self.until(lambda: sum(each.whole or not whole for each in made.exchanges) >= count, f"{upstream} is asked")
        return made.exchanges

    def accepted(self) -> None:
        """Wait until the edge has taken the connections that were made: a request that came later has been answered."""
        self.bench.barrier()

    def left(self, upstream: str) -> None:
        """Wait until the edge has closed all its connections there."""
        made = self.bench.upstreams[upstream]
        made.watched = True
        links = made.links
        self.until(lambda: all(link.ended.is_set() for link in links), f"{upstream} is left", LEAVE_S)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = SETTLE_S) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.notes.setdefault("missed", []).append(what)
                return
            time.sleep(0.002)

    def until_metric(self, name: str, change: int) -> None:
        """Wait until a sample has grown so much since the case began."""
        before = self.bench.before.get(name, Decimal(0))
        self.until(lambda: self.bench.scrape().get(name, Decimal(0)) - before >= change, f"{name} grows", 5)


class Bench:
    """One edge, which knows these settings of ``resilience``. ``whole`` keeps bodies of any length in the records."""

    def __init__(
        self,
        edge: Path,
        variant: str,
        setup: str,
        folder: Path,
        simulator: tuple[str, int],
        resilience: frozenset[str],
        whole: bool = False,
    ) -> None:
        self.variant = variant
        self.setup = setup
        self.whole = whole
        self.barriers = 0
        self.before: dict[str, Decimal] = {}
        self.latest: dict[str, Decimal] = {}
        made = SETUPS[setup]
        names = {"openai": simulator, "anthropic": simulator, **dict.fromkeys(made.more)}
        self.upstreams = {name: Upstream(name, relay_to) for name, relay_to in names.items()}
        down = free_port()
        urls = {name: each.url for name, each in self.upstreams.items()} | {"down": f"http://127.0.0.1:{down}"}
        self.redis = RedisServer(folder) if made.redis else None
        config = made.config(urls | ({"redis": self.redis.url()} if self.redis is not None else {}))
        config = understood(config, resilience)
        self.known = {f"127.0.0.1:{each.port}": f"<{name}>" for name, each in self.upstreams.items()}
        self.known[f"127.0.0.1:{down}"] = "<down>"
        pure = {"EDGE_PURE_PYTHON": "1"} if variant == "pure" else {}
        environment = clean_environment(**pure)
        for name in ("PYTHONPATH", *(() if pure else ("EDGE_PURE_PYTHON",))):
            environment.pop(name, None)
        self.edge = started(edge, variant, folder, config, environment)
        self.port = self.edge.port
        self.known[f":{self.port}"] = ":<port>"
        self.process = self.edge.process
        self._seen = 0
        self._control = Client(self.port)
        self.barrier()
        begun = self.scrape()
        self.barrier()
        self.barrier_cost = {name: Decimal(value) for name, value in delta(begun, self.scrape()).items()}
        if self.redis is not None:
            self._wait_for_redis()
        self._take_lines()
        self.latest = self.scrape()

    def _wait_for_redis(self) -> None:
        deadline = time.monotonic() + SETTLE_S
        while self.scrape().get("edge_redis_ready") != 1:
            if time.monotonic() > deadline:
                raise AssertionError("the edge does not find Redis")
            time.sleep(0.02)

    def scrape(self) -> dict[str, Decimal]:
        return series(self.scraped())

    def scraped(self) -> str:
        self._control.send(SCRAPE)
        status, headers = self._control.head()
        text = self._control.body(headers).decode()
        if status != 200:
            raise AssertionError(f"/metrics answers {status}: {text}")
        return text

    def barrier(self) -> None:
        """A request whose line in the log comes after those of all requests that have ended before."""
        self.barriers += 1
        name = f"barrier-{os.getpid()}-{self.barriers}"
        self._control.send(BARRIER.format(name, key("admin")).encode())
        _, headers = self._control.head()
        self._control.body(headers)
        deadline = time.monotonic() + SETTLE_S
        at = self._seen
        while True:
            lines = self.process.lines
            while at < len(lines):
                at += 1
                if name in lines[at - 1]:
                    return
            if time.monotonic() > deadline:
                raise AssertionError(f"no line of the log tells of {name}: {lines[-3:]}")
            time.sleep(0.001)

    def _take_lines(self) -> list[str]:
        """Those since the last time, without the barriers'."""
        lines = self.process.lines[self._seen :]
        self._seen += len(lines)
        lines = [line for line in lines if '"barrier-' not in line and BY_CLOCK not in line]
        if any(STALLED in line for line in lines):  # the machine is busy: that says nothing of the tree
            print(f"{self.variant}/{self.setup}: a worker stalled", file=sys.stderr, flush=True)
            lines = [line for line in lines if line.startswith("{") and STALLED not in line]
        if self.variant == "uvicorn":  # what else there is comes from uvicorn, which writes into closed connections
            lines = [line for line in lines if line.startswith("{")]
        return lines

    def play(self, case: Case) -> dict[str, Any]:
        """The case's record."""
        for upstream in self.upstreams.values():
            upstream.begin()
        play = Play(self, case.title)
        self.before = self.latest
        begun = self.barriers
        try:
            case.play(play)
        except Exception as error:  # a case that fails is a finding, and no end
            play.notes["failure"] = f"{type(error).__name__}: {error}"
        self.latest = self._settle()
        after = dict(self.latest)
        states = [client.state() for client in play.clients]
        closed = {name: [link.closed_by_the_edge() for link in each.links] for name, each in self.upstreams.items()}
        for upstream in self.upstreams.values():
            upstream.finish()
        for client in play.clients:
            client.sock.close()
        for name, value in self.barrier_cost.items():
            after[name] = after.get(name, Decimal(0)) - value * (self.barriers - begun)
        return self._record(play, states, closed, delta(self.before, after), self._take_lines())

    def _settle(self) -> dict[str, Decimal]:
        """Wait until no request is in flight and all lines are here; the metrics then."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            self.barrier()
            after = self.scrape()
            if not after.get(IN_FLIGHT) or time.monotonic() > deadline:
                break
            time.sleep(0.005)
        deadline = time.monotonic() + LEAVE_S
        for each in (each for upstream in self.upstreams.values() if upstream.script for each in upstream.exchanges):
            while not each.done and not each.link.ended.wait(0.002) and time.monotonic() < deadline:
                pass
        return after

    def _record(
        self,
        play: Play,
        states: list[str],
        closed: dict[str, list[bool]],
        counted: dict[str, str],
        lines: list[str],
    ) -> dict[str, Any]:
        places = Placeholders(self.known, play.volatile)
        for client in play.clients:
            for answer in client.answers:
                if not answer.value("x-request-id").startswith(play.id):
                    places.learn(answer.value("x-request-id"), "id")
        for line in lines:
            if line.startswith("{") and not str(made := json.loads(line).get("request_id", "")).startswith(play.id):
                places.learn(str(made), "id")
        record: dict[str, Any] = {
            "case": f"{self.variant}/{play.title}",
            "clients": [
                {"answers": [answer_of(each, places, self.whole) for each in client.answers], "end": places.text(state)}
                for client, state in zip(play.clients, states, strict=True)
            ],
            "upstreams": {
                name: {
                    "asked": [self._exchange(each, places) for each in upstream.exchanges],
                    # How the simulator's segments come decides what an edge closes that has read enough.
                    **({"closed": closed[name]} if upstream.script or upstream.watched else {}),
                }
                for name, upstream in self.upstreams.items()
                if upstream.links
            },
            "log": sorted((line_of(line, places) for line in lines), key=_request_id),
            "metrics": {places.text(name): value for name, value in counted.items()},
        }
        if play.notes:
            record["notes"] = json.loads(places.text(json.dumps(play.notes)))
        return record

    def _exchange(self, exchange: Exchange, places: Placeholders) -> dict[str, Any]:
        made = request_of(exchange.head, exchange.body, places, self.whole)
        made["connection"] = exchange.link.number
        if not exchange.whole:
            made["cut"] = True
        return made

    def stop(self) -> None:
        self._control.sock.close()
        self.process.stop()
        if self.redis is not None:
            self.redis.stop()
        for upstream in self.upstreams.values():
            upstream.listener.close()


class Served:
    """``edge.server.asgi:create_app`` of the tree, under its uvicorn."""

    def __init__(self, edge: Path, folder: Path, config: dict[str, Any], environment: dict[str, str]) -> None:
        path = folder / f"app-{time.monotonic_ns()}.json"
        path.write_text(json.dumps(config))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        python = edge.with_name("python")
        options = [
            "--factory",
            "--port",
            str(self.port),
            "--log-level",
            "warning",
            "--no-access-log",
            "--no-server-header",
        ]
        self.process = Process(
            *(str(python), "-m", "uvicorn", "edge.server.asgi:create_app", *options),
            env={**environment, "EDGE_CONFIG": str(path)},
            cwd=folder,  # uvicorn imports from the working directory first, which may be another tree
        )
        try:
            wait_until_ready(self.url, start_s=START_S)
        except AssertionError:
            self.process.stop()
            raise


def started(
    edge: Path, variant: str, folder: Path, config: dict[str, Any], environment: dict[str, str]
) -> Edge | Served:
    if variant == "uvicorn":
        return Served(edge, folder, config, environment)
    front = "asgi" if variant == "asgi" else "lane"
    return Edge(folder, config, env=environment, front=front, program=(str(edge),), start_s=START_S)


def known_resilience(edge: Path) -> frozenset[str]:
    """The settings of ``resilience`` that a tree knows, as its schema says."""
    got = subprocess.run(
        [str(edge), "schema"], capture_output=True, text=True, env=clean_environment(), check=True, timeout=START_S
    )
    kinds = json.loads(got.stdout)["$defs"].values()
    return frozenset(name for kind in kinds if "connect_s" in kind.get("properties", {}) for name in kind["properties"])


def _request_id(line: Any) -> str:
    return str(line.get("request_id", "")) if isinstance(line, dict) else ""


def play_all(
    edge: Path,
    variant: str,
    setup: str,
    cases: Iterable[Case],
    folder: Path,
    simulator: tuple[str, int],
    resilience: frozenset[str],
    whole: bool,
) -> list[dict[str, Any]]:
    """Play cases of one setup on one edge, one after the other."""
    bench = Bench(edge, variant, setup, folder, simulator, resilience, whole)
    try:
        found = []
        for case in cases:
            begun = time.monotonic()
            found.append(bench.play(case))
            if (took := time.monotonic() - begun) > 3:
                print(f"{variant}/{case.title} took {took:.1f} s", file=sys.stderr, flush=True)
        return found
    finally:
        bench.stop()
