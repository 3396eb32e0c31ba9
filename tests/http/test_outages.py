"""One of two providers fails, or both do: R4 and R17 in short forms, each printing its N.

``EDGE_SOAK=50000`` makes the long forms of them, of so many requests for each kind of failure.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import httpx2
import pytest
import uvloop

from tests.asker import Answer, Asker, Steady, request
from tests.fault_proxy import FaultProxy, Faults
from tests.harness import MINIMAL, Canned, Edge, Simulator, answer, running, until

pytestmark = pytest.mark.heavy

REQUESTS = int(os.environ.get("EDGE_SOAK") or 600)
WIDTH = 16
CLOCK_S = 2.0
"""What an attempt has: much longer than an answer takes, on a busy machine too."""
AFTER = 3
"""How often the crowd asks once the breaker is open: waiting for the provider that failed would show each time, a
machine that is busy with something else does not."""
CHAT = answer(MINIMAL["chat/completions"])
CLOCKS = {"connect_s": CLOCK_S, "first_content_s": CLOCK_S, "attempt_s": CLOCK_S, "idle_s": CLOCK_S, "total_s": 30}


async def crowd(port: int, requests: Iterable[bytes], width: int = WIDTH) -> list[Answer]:
    """So many clients at a time, each over a connection of its own, until all is asked."""
    left = iter(requests)
    found: list[Answer] = []

    async def client() -> None:
        asker = Asker(port)
        found.extend([await asker.ask(each) for each in left])
        asker.leave()

    await asyncio.gather(*(client() for _ in range(width)))
    return found


def percentile(answers: list[Answer], share: float) -> float:
    """Seconds."""
    return sorted(each.took_s for each in answers)[int(len(answers) * share)]


def whole(answers: list[Answer]) -> int:
    """How many got all of what they asked for."""
    return sum(each.complete("chat", stream=b"event-stream" in each.head) for each in answers)


def states(edge: Edge) -> dict[str, dict]:
    """What the edge tells of its upstreams, by name."""
    told = httpx2.get(f"{edge.url}/admin/api/upstreams").json()["upstreams"]
    return {each["upstream"]: each for each in told}


class First:
    """The provider that fails: a simulator behind a proxy of faults."""

    def __init__(self, simulator: Simulator, proxy: FaultProxy) -> None:
        self.simulator, self.proxy = simulator, proxy

    def answers(self, plan: str) -> None:
        httpx2.post(f"{self.simulator.url}/script", json={"plan": plan, "path": "/v1/"})

    def network(self, **faults: object) -> None:
        self.proxy.faults = Faults(**faults)  # type: ignore[arg-type]


KINDS: dict[str, tuple[bool, Callable[[First], None]]] = {
    "killed": (True, lambda first: first.simulator.process.process.kill()),
    "black hole": (True, lambda first: first.network(black_hole=True)),
    "vanished": (True, lambda first: first.proxy.vanish()),
    "reset": (True, lambda first: first.network(refuse=True, reset_share=1.0)),
    "cut in the middle": (True, lambda first: first.network(cut_after=100)),
    "half-closed": (True, lambda first: first.network(cut_after=100, half_close=True)),
    "throttled": (True, lambda first: first.network(bytes_per_s=20)),
    "503": (False, lambda first: first.answers("503-noretry")),
    "silent": (False, lambda first: first.answers("hang")),
}
"""How it fails, and whether that breaks off the streams which it has begun."""


@pytest.mark.parametrize("kind", KINDS)
def test_r4_nothing_is_lost_when_one_of_two_providers_fails(kind, front, tmp_path, stalls):
    """All that has not begun to be answered is answered by the other one, and soon without waiting for the first."""
    breaks, fail = KINDS[kind]
    both = [request("chat", "both", "hi", stream=number % 2 == 0) for number in range(REQUESTS)]
    begun = request("chat", "begun", "hi", stream=True)
    with ExitStack() as stack:
        simulators = [Simulator(), Simulator()]
        stack.enter_context(running(simulators[1]))
        stack.callback(simulators[0].process.stop, signal.SIGKILL)
        ports = [int(each.url.rpartition(":")[2]) for each in simulators]
        proxy = stack.enter_context(FaultProxy(ports[0]))
        first = First(simulators[0], proxy)
        urls = {"a": proxy.url, "b": simulators[1].url}
        config = {
            "providers": {
                name: {"dialect": "openai", "base_url": f"{url}/v1", "models": []} for name, url in urls.items()
            },
            "models": {
                "both": {"upstreams": [{"to": "a/sim-words-6"}, {"to": "b/sim-words-6"}]},
                "begun": {
                    "strategy": "failover",
                    "upstreams": [{"to": "a/sim-words-200-tps-50"}, {"to": "b/sim-words-200-tps-50"}],
                },
            },
            "resilience": CLOCKS,
            "telemetry": {"log": {"level": "warning"}},
        }
        edge = Edge(tmp_path, config, front=front)
        stack.enter_context(running(edge))

        async def main() -> tuple[list[list[Answer]], list[Answer]]:
            await crowd(edge.port, both[:50])  # connections are made, and what is looked up once is known
            parts = [await crowd(edge.port, both)]
            readers = [Asker(edge.port) for _ in range(8)]
            streams = [asyncio.ensure_future(each.ask(begun)) for each in readers]
            while states(edge)["a/sim-words-200-tps-50"]["first_content_s"] is None:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            fail(first)
            parts.append(await crowd(edge.port, both[:100]))
            while states(edge)["a/sim-words-6"]["state"] == "closed":
                parts[1] += await crowd(edge.port, both[:10])
            parts += [await crowd(edge.port, both) for _ in range(AFTER)]
            ended = await asyncio.gather(*streams)
            for each in readers:
                each.leave()
            return parts, ended

        (before, during, *after), streams = uvloop.run(asyncio.wait_for(main(), 120 + REQUESTS / 50))
    asked = during + [answer for each in after for answer in each]
    lost = len(asked) - whole(asked)
    p99 = [
        percentile(each, 0.99) * 1000 for each in (before, during, min(after, key=lambda each: percentile(each, 0.99)))
    ]
    print(
        f"\nR4, {kind}: N={len(asked)}, {lost} lost; p99 {p99[0]:.0f} ms before, {p99[1]:.0f} ms until the breaker opened "
        f"(N={len(during)}), {p99[2]:.0f} ms after; {len(streams)} streams begun, {whole(streams)} ended whole"
    )
    assert lost <= len(asked) // 10_000
    assert percentile(during, 1 - 1e-9) <= percentile(before, 0.99) + CLOCK_S + 0.5 + stalls.granted_s
    assert p99[2] <= 1.2 * p99[0] + 1000 * stalls.granted_s
    assert all(each.status == 200 for each in streams)
    assert whole(streams) == (0 if breaks else len(streams))
    assert not breaks or all(b'"error"' in each.body for each in streams), "a stream that breaks off says so"


@pytest.mark.parametrize("plan", ["500", "503-noretry", "rst", "cut", "garbage"])
def test_when_everything_fails_there_are_few_calls_more_than_requests(plan, simulator, tmp_path):
    """Two providers and retries: neither the list of upstreams nor the retries multiply an outage."""
    provider = {"dialect": "openai", "base_url": f"{simulator.url}/v1", "models": []}
    config = {
        "providers": {"a": provider, "b": provider | {"headers": {"x-account": "b"}}},
        "models": {"both": {"upstreams": [{"to": f"a/sim-{plan}"}, {"to": f"b/sim-{plan}"}]}},
        "resilience": {"retries": 2},
        "telemetry": {"log": {"level": "error"}},
    }
    edge = Edge(tmp_path, config)
    before = simulator.count()
    with running(edge):
        answers = uvloop.run(crowd(edge.port, [request("chat", "both", "hi")] * REQUESTS, 4))
    calls = simulator.count() - before
    refused = sum(each.status == 503 for each in answers)
    print(f"\nall fail, {plan}: N={REQUESTS}, {calls} calls, {calls / REQUESTS:.2f} a request; {refused} times 503")
    assert all(each.status >= 500 for each in answers)
    assert 0 < calls <= 1.2 * REQUESTS


class Held(Canned):
    """An upstream that is up or down, or holds who asks until it is told to answer."""

    def __init__(self) -> None:
        self.up = True
        self.holds = False
        self.go = threading.Event()
        super().__init__(self.serve)

    def serve(self, _seen: object, _connection: object) -> bytes:
        if self.holds:
            self.go.wait(30)
        return CHAT if self.up else answer(b"{}", 500)


def pair(a: Canned, b: Canned, breaker: dict[str, float], strategy: str = "failover") -> dict:
    """An edge's configuration with an alias of both."""
    return {
        "providers": {
            name: {"dialect": "openai", "base_url": f"{each.url}/v1", "models": []}
            for name, each in zip("ab", (a, b), strict=True)
        },
        "models": {"two": {"strategy": strategy, "upstreams": [{"to": "a/m"}, {"to": "b/m"}]}},
        "resilience": {"breaker": breaker},
    }


@pytest.mark.parametrize("probes", [1, 3])
def test_r17_a_thousand_at_the_half_open_instant_reach_it_with_the_probes_alone(probes, front, tmp_path):
    """All over connections that are open already, while the probes are in flight."""
    asked = request("chat", "two", "hi")
    with Held() as a, Canned(CHAT) as b:
        breaker = {"failures": 3, "open_s": 1.5, "max_open_s": 1.5, "probes": probes}
        edge = Edge(tmp_path, pair(a, b, breaker) | {"server": {"max_connections_per_address": 2000}}, front=front)

        async def main() -> list[Answer]:
            askers = [Asker(edge.port) for _ in range(1000)]
            await asyncio.gather(*(each.ask(asked) for each in askers))
            a.up = False
            while states(edge)["a/m"]["state"] == "closed":
                await askers[0].ask(asked)
            a.holds, a.up = True, True
            a.seen.clear()
            while states(edge)["a/m"]["retry_after_s"]:
                await asyncio.sleep(0.02)
            tasks = [asyncio.ensure_future(each.ask(asked)) for each in askers]
            while sum(each.done() for each in tasks) < 1000 - probes:
                await asyncio.sleep(0.02)
            reached.append(len(a.seen))
            a.go.set()
            done = await asyncio.gather(*tasks)
            for each in askers:
                each.leave()
            return done

        reached: list[int] = []
        with running(edge):
            answers = uvloop.run(main())
            closed = states(edge)["a/m"]["state"]
    print(f"\nR17: N=1000 at the half-open instant, {reached[0]} of them reached it, {probes} may")
    assert reached == [probes]
    assert [each.status for each in answers] == [200] * 1000
    assert closed == "closed"


def test_r17_a_flapping_upstream_costs_no_request_and_opens_once_an_interval(front, tmp_path):
    """A second up, a second down; it is asked in its good times, and is not hammered in its bad ones."""
    open_s, rate = 0.5, 100
    with Held() as a, Canned(CHAT) as b:
        breaker = {"failures": 3, "open_s": open_s, "max_open_s": open_s}
        edge = Edge(tmp_path, pair(a, b, breaker, "round_robin"), front=front)
        over = threading.Event()

        def flap() -> None:
            while not over.wait(1.0):
                a.up = not a.up

        async def main() -> list[Answer]:
            load = Steady(edge.port, rate, lambda _: request("chat", "two", "hi"))
            task = asyncio.ensure_future(load.run())
            await asyncio.sleep(max(8.0, REQUESTS / rate))
            load.stopped = True
            await task
            return [each for _, each in load.answers]

        with running(edge):
            begun = time.monotonic()
            thread = threading.Thread(target=flap, daemon=True)
            thread.start()
            answers = uvloop.run(main())
            took = time.monotonic() - begun
            over.set()
            thread.join(5)
            openings = states(edge)["a/m"]["openings"]
            a.up = True
            until(lambda: states(edge)["a/m"]["retry_after_s"] == 0)
            for _ in range(4):
                uvloop.run(crowd(edge.port, [request("chat", "two", "hi")], 1))
            state, in_flight = (states(edge)["a/m"][each] for each in ("state", "in_flight"))
        told = [line for line in edge.process.lines if '"event":"upstream"' in line and '"state":"open"' in line]
    good = sum(each.status == 200 for each in answers)
    asked = len(a.seen)
    print(
        f"\nR17, flapping for {took:.0f} s: N={len(answers)}, {len(answers) - good} failed; {openings} openings, "
        f"{len(told)} told; {asked} requests there"
    )
    assert good == len(answers)
    assert 2 <= openings <= took / open_s + 1
    assert len(told) <= openings
    assert asked > len(answers) * 0.1, "its good times are used"
    assert (state, in_flight) == ("closed", 0), "no place of a probe is lost"
