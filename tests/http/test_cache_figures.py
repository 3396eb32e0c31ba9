"""The cache's promises through the whole gateway, four workers on one Redis: each figure is printed with its N."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import uvloop

from tests import crosstalk
from tests.asker import Asker, request
from tests.cached_edge import KEYS, cached, metric, said, wait_for_redis
from tests.fault_proxy import FaultProxy, Faults
from tests.harness import Edge, Simulator, clean_environment, running, until
from tests.redis_harness import RedisServer, stopping

pytestmark = pytest.mark.alone

WORKERS = 4
REQUESTS = int(os.environ.get("EDGE_SOAK") or 50_000)
SAMPLED_S = 2.0
STORED = 'edge_cache_writes_total{result="stored",tier="redis"}'
RESULTS = ("hit", "miss", "timeout", "busy", "error", "unready", "corrupt")


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    with stopping(made):
        yield made


@pytest.fixture
def edge(simulator, redis, tmp_path):
    """Four workers with all limits' keys."""
    limits = {"slow": {"requests_per_minute": 300}, "narrow": {"concurrency": 10}}
    patient = {"url": redis.url(), "timeout_ms": 1000}  # the machine of the tests runs other things too
    settings = cached(simulator.url, patient, keys=limits, workers=WORKERS)
    made = Edge(tmp_path, settings, forked=False)
    with running(made):
        wait_for_redis(made, WORKERS)
        yield made


async def all_at_once(port: int, requests: list[bytes]):
    """Each over a connection of its own: the kernel deals them out to the workers."""
    askers = [Asker(port) for _ in requests]
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(asker.ask(each) for asker, each in zip(askers, requests, strict=True)))
    for asker in askers:
        asker.leave()
    return answers


def fresh() -> str:
    return f"w{random.getrandbits(64):016d}"


class Growth(threading.Thread):
    """What the memory of an edge's workers grows by, in MB for each 100,000 requests of the second half of a run."""

    def __init__(self, edge: Edge) -> None:
        super().__init__(daemon=True)
        self._edge = edge
        self._ended = threading.Event()
        self._samples: list[tuple[float, float]] = []

    def __enter__(self) -> Growth:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(SAMPLED_S):
            self._samples.append((metric(self._edge, "edge_requests_total{"), resident(self._edge)))

    def __str__(self) -> str:
        half = [each for each in self._samples if 2 * each[0] >= self._samples[-1][0]] if self._samples else []
        if len(half) < 5:
            return "too short a run to tell its growth"
        requests, megabytes = [each[0] / 1e5 for each in half], [each[1] / 1e6 for each in half]
        slope = statistics.linear_regression(requests, megabytes).slope
        return f"{megabytes[-1]:.1f} MB, {slope:+.2f} MB per 100,000 requests over the second half"


def resident(edge: Edge) -> int:
    """Bytes of memory of the workers that no file is behind."""
    found = subprocess.run(["pgrep", "-P", str(edge.process.pid)], capture_output=True, text=True, check=True)
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in found.stdout.split()]
    return sum(int(line.split()[1]) * 1024 for text in statuses for line in text.splitlines() if "RssAnon" in line)


def test_r1_nobody_gets_anybody_elses_answer(tmp_path):
    """Redis answers late and resets now and then, and so does the upstream; two tenants ask the same."""
    server, upstream = RedisServer(tmp_path), Simulator(module="tests.stamped")
    with (
        stopping(server),
        running(upstream),
        FaultProxy(server.port, Faults(jitter_s=0.05, reset_share=0.005)) as to_redis,
        FaultProxy(int(upstream.url.rpartition(":")[2]), Faults(reset_share=0.002)) as to_upstream,
    ):
        url = f"redis://127.0.0.1:{to_redis.port}"
        redis = {"url": url, "timeout_ms": 150}
        config = cached(to_upstream.url, redis, memory={"ttl_s": 2}, workers=WORKERS)
        edge = Edge(tmp_path, config, forked=False)
        with running(edge):
            wait_for_redis(edge, WORKERS)
            begun = time.monotonic()
            tokens = {name: KEYS[name][0] for name in ("a", "b")}
            with Growth(edge) as growth:
                found = crosstalk.run(edge.port, tokens, processes=2, clients=96, count=REQUESTS)
            took = time.monotonic() - begun
            looked = {
                each: int(metric(edge, f'edge_cache_requests_total{{result="{each}",tier="redis"')) for each in RESULTS
            }
            log = list(edge.process.lines)
    counts, shared = found.counts, found.serials["a"] & found.serials["b"]
    total, failed = sum(counts.values()), counts["failed"]
    print(
        f"\nR1, N={total} in {took:.1f} s: {len(found.wrong)} wrong answers, {len(shared)} shared by the tenants; "
        f"{dict(counts)}; memory of {WORKERS} workers: {growth}; look-ups in Redis {looked}; resets: {to_redis.resets} of Redis, {to_upstream.resets} upstream"
    )
    assert found.wrong == []
    assert not shared
    assert total + len(found.wrong) >= REQUESTS
    # All of it happened.
    assert min(counts[state] for state in ("memory", "redis", "joined", "miss")) > 0.0005 * REQUESTS
    assert 0.05 * REQUESTS < counts["left"] < 0.25 * REQUESTS
    assert to_redis.resets > 0
    assert to_upstream.resets > 0
    assert failed < 0.01 * REQUESTS
    assert looked["corrupt"] == 0
    assert len(log) < 10 * took, "log lines a second"


def test_what_one_worker_stored_the_others_serve_and_clearing_forgets_it_everywhere(edge, simulator):
    before, name = simulator.count(), fresh()

    async def states(times: int) -> Counter[str]:
        """One after the other, each over a fresh connection."""
        found: Counter[str] = Counter()
        stored = metric(edge, STORED)
        for _ in range(times):
            (answer,) = await all_at_once(edge.port, [request("chat", "gpt-4o", said(name), key=KEYS["a"][0])])
            assert name.encode() in answer.body
            found[answer.cache] += 1
            if answer.cache == "miss":  # answers are written behind the client's back
                await asyncio.to_thread(until, lambda: metric(edge, STORED) > stored)
        return found

    got = uvloop.run(states(100))
    print(f"\nfour workers on one Redis, N=100: {dict(got)}")
    assert simulator.count() == before + 1
    assert got["miss"] == 1
    assert 1 <= got["redis"] <= WORKERS - 1
    env = clean_environment(EDGE_ADMIN_KEY=KEYS["admin"][0])
    command = [sys.executable, "-m", "edge", "cache", "clear", "--url", edge.url]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert (done.returncode, done.stdout) == (0, "memory: cleared, redis: cleared\n")
    time.sleep(1.5)  # others learn of it within about a second
    got = uvloop.run(states(100))
    print(f"after clearing: {dict(got)}")
    assert simulator.count() == before + 2
    assert got["miss"] == 1


def test_r19_a_crowd_over_four_workers(edge, simulator, stalls):
    before, name = simulator.count(), fresh()
    asked = [request("chat", "sim-words-20-ttft-300", said(name), key=KEYS["a"][0])] * 200
    answers = uvloop.run(all_at_once(edge.port, asked))
    calls = simulator.count() - before
    right = sum(each.complete("chat", stream=False) and name.encode() in each.body for each in answers)
    longest = max(each.took_s for each in answers)
    states = dict(Counter(each.cache for each in answers))
    print(f"\nR19, four workers: {calls} upstream calls, {right} of 200 right, longest {longest:.2f} s; {states}")
    assert right == 200
    assert calls <= WORKERS
    assert longest < 2 + stalls.granted_s


def test_nobody_waits_for_an_answer_that_will_not_be_stored(simulator, redis, tmp_path, stalls):
    """A failure: another edge asks itself as soon as that is known."""
    settings = {**cached(simulator.url, {"url": redis.url()}), "resilience": {"retries": 0}}
    edges = [Edge(tmp_path, settings, forked=False) for _ in range(2)]

    async def both():
        asked = [request("chat", "sim-ttft-300-500", said(fresh()), key=KEYS["a"][0])]
        first = asyncio.ensure_future(all_at_once(edges[0].port, asked))
        await asyncio.sleep(0.1)
        return *await all_at_once(edges[1].port, asked), *await first

    with running(*edges):
        for each in edges:
            wait_for_redis(each, 1)
        second, first = uvloop.run(both())
    assert first.status == second.status
    assert second.took_s < 1.2 + stalls.granted_s


@pytest.mark.parametrize("holder", ["nobody", "another"])
def test_trouble_with_redis_costs_one_deadline(simulator, redis, tmp_path, stalls, holder):
    """Also where the answer was being waited for that somebody else had the right to fetch."""
    deadline_s = 0.5
    asked = [request("chat", "sim-ttft-1000", said(fresh()), key=KEYS["a"][0])]

    async def main() -> float:
        first = asyncio.ensure_future(all_at_once(edges[1].port, asked if holder == "another" else []))
        await asyncio.sleep(0.1)
        if holder == "nobody":
            proxy.faults = Faults(black_hole=True)
        second = asyncio.ensure_future(all_at_once(edges[0].port, asked))
        await asyncio.sleep(0.1)
        proxy.faults = Faults(black_hole=True)
        (answer,) = await second
        await first
        assert answer.complete("chat", stream=False)
        return answer.took_s

    with FaultProxy(redis.port) as proxy:
        far = {"url": f"redis://127.0.0.1:{proxy.port}", "timeout_ms": int(deadline_s * 1000)}
        edges = [Edge(tmp_path, cached(simulator.url, each), forked=False) for each in (far, {"url": redis.url()})]
        with running(*edges):
            for each in edges:
                wait_for_redis(each, 1)
            took_s = uvloop.run(main())
    assert took_s < 1 + 0.1 + deadline_s + 0.35 + stalls.granted_s


@pytest.mark.parametrize("model", ["sim-words-5", "sim-ttft-20"])
def test_300_requests_a_minute_over_four_workers(edge, model):
    asked = [request("chat", model, said(fresh()), key=KEYS["slow"][0]) for _ in range(1000)]
    begun = time.monotonic()
    answers = uvloop.run(all_at_once(edge.port, asked))
    took = time.monotonic() - begun
    counts = Counter(each.status for each in answers)
    print(f"\n300 requests a minute, N=1000 at once over four workers in {took:.2f} s: {dict(counts)}")
    assert set(counts) == {200, 429}
    assert 300 <= counts[200] <= 300 + 1 + int(took * 300 / 60)


def test_ten_at_a_time_over_four_workers(edge, simulator):
    before = simulator.count()
    asked = [request("chat", "sim-ttft-400", said(fresh()), key=KEYS["narrow"][0]) for _ in range(200)]
    first = uvloop.run(all_at_once(edge.port, asked))
    again = uvloop.run(all_at_once(edge.port, asked))
    spans = [(entry["at"], entry["done_at"]) for entry in simulator.ledger(before)]
    most = max(sum(at <= when < done for at, done in spans) for when, _ in spans)
    counts = Counter(each.status for each in (*first, *again))
    print(f"\nten at a time, N={len(asked) * 2} over four workers: {dict(counts)}, at most {most} at the upstream")
    assert set(counts) == {200, 429}
    assert most == 10
    assert sum(each.status == 200 for each in again) >= 10
