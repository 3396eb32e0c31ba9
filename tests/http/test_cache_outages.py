"""Redis dies, freezes or lies under the load of a whole gateway: no client notices. Each figure is printed with its N."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
import uvloop
from redis.crc import key_slot

from tests.asker import Answer, Steady, request
from tests.cached_edge import KEYS, cached, metric, said, wait_for_redis
from tests.harness import Edge, running
from tests.redis_harness import RedisCluster, RedisServer, stopping

TIMEOUT_S = 0.05
TOLERANCE_S = 0.25
"""The machine of the tests runs other things too: as for the other clocks."""
TIMEOUTS = 'edge_cache_requests_total{result="timeout",tier="redis"}'
SLOW_S = 0.025
RATE = 300
STORED = 100
TOKEN = KEYS["a"][0]
NO_MEMORY = {"max_bytes": 0}


class Load(Steady):
    """`RATE` requests a second, half of them for answers that are stored: in turns JSON and streams, chat and messages."""

    def __init__(self, edge: Edge, mark: str) -> None:
        self.mark = mark
        super().__init__(edge.port, RATE, self.request)

    def name(self, number: int) -> str:
        return f"{self.mark}{number:06}" if number % 2 else f"stored{number // 2 % STORED:04}"

    def form(self, number: int) -> tuple[str, bool]:
        """The API and whether it streams; the same whenever a stored answer is asked for."""
        return ("chat", "messages")[number // 2 % 2], number // 4 % 2 == 1

    def request(self, number: int) -> bytes:
        api, stream = self.form(number)
        return request(api, "sim-words-8", said(self.name(number)), stream=stream, key=TOKEN)

    def wrong(self, rows: list[tuple[int, Answer]]) -> list[str]:
        """What clients would call an error: no complete answer, or not theirs."""
        found = []
        for number, answer in rows:
            api, stream = self.form(number)
            mine = f"nonce:{self.name(number)}".encode()
            if not answer.complete(api, stream=stream) or mine not in answer.body or answer.body.count(b"nonce:") != 1:
                found.append(f"{number}: {answer.status} {answer.body[-200:]!r}")
        return found

    def whole_again(self, since: float) -> float:
        """Seconds from `since` to the last request for a stored answer that did not get it from there."""
        asked = ((number, answer) for number, answer in self.answers if not number % 2 and answer.asked_at >= since)
        return max(
            (answer.asked_at - since for _, answer in asked if answer.cache not in ("redis", "joined")), default=0.0
        )


def percentile(rows: list[tuple[int, Answer]], share: float) -> float:
    times = sorted(answer.took_s for _, answer in rows)
    return times[min(len(times) - 1, int(len(times) * share))]


@contextmanager
def served(tmp_path, url: str, settings: dict | None) -> Iterator[Edge]:
    """An edge of two workers without memory, on the Redis of `settings`."""
    edge = Edge(tmp_path, cached(url, settings, memory=NO_MEMORY, workers=2))
    with running(edge):
        if settings is not None:
            wait_for_redis(edge, 2)
        yield edge


async def fill(edge: Edge) -> None:
    """Have all answers stored that are going to be asked for again."""
    load = Load(edge, "fill")
    running_load = asyncio.ensure_future(load.run())
    await asyncio.sleep(2 * STORED / RATE + 0.5)
    load.stopped = True
    await running_load
    assert load.wrong(load.answers) == []


async def failed_over(cluster: RedisCluster, victim: RedisServer) -> float:
    """When another server had become primary in the place of `victim`."""
    watcher = next(server for server in cluster.servers if server is not victim)
    begun = time.monotonic()
    while True:
        nodes = await asyncio.to_thread(watcher.cli, "CLUSTER", "NODES")
        if not re.search(rf"127.0.0.1:{victim.port}@\S+ \S*master\S* .*connected [0-9]", nodes):
            return time.monotonic()
        assert time.monotonic() - begun < 20
        await asyncio.sleep(0.05)


@pytest.mark.pairs
def test_r5_a_primary_is_killed(simulator, tmp_path, stalls):
    cluster = RedisCluster(tmp_path, 3, 1)

    async def main(edge: Edge) -> None:
        await fill(edge)
        load = Load(edge, "r5")
        running_load = asyncio.ensure_future(load.run())
        await asyncio.sleep(2)
        victim = cluster.primaries()[0]
        waited = await asyncio.to_thread(metric, edge, TIMEOUTS)
        killed = time.monotonic()
        victim.kill()
        over = await failed_over(cluster, victim)
        await asyncio.sleep(5.5)
        load.stopped = True
        await running_load
        before, rows = load.between(killed - 2, killed - 0.5), load.between(killed, over + 5.5)
        usual = percentile(before, 0.5)
        longest = max(answer.took_s for _, answer in rows) - usual
        slow = sum(answer.took_s - usual > SLOW_S for _, answer in rows)
        waited = await asyncio.to_thread(metric, edge, TIMEOUTS) - waited
        wrong, repaired = load.wrong(load.answers), load.whole_again(over)
        print(
            f"\nR5, kill -9 of a primary, N={len(rows)}: {len(wrong)} errors, {waited:.0f} look-ups took all of their "
            f"{TIMEOUT_S * 1000:.0f} ms, {slow} answers came {SLOW_S * 1000:.0f} ms later than usual, the longest by "
            f"{longest * 1000:.1f} ms (p50 {usual * 1000:.1f} ms); failover after {over - killed:.2f} s, "
            f"all hits again {repaired:.2f} s later"
        )
        assert wrong == []
        assert sum(answer.cache == "redis" for _, answer in before) > 0.4 * len(before), "half of them are hits"
        assert longest <= TIMEOUT_S + TOLERANCE_S + stalls.granted_s
        assert waited <= 0.05 * len(rows)
        assert repaired <= 5

    with stopping(cluster), served(tmp_path, simulator.url, {"url": cluster.url, "cluster": True}) as edge:
        uvloop.run(main(edge))


@pytest.mark.pairs
def test_r6_all_are_frozen(simulator, tmp_path, stalls):
    cluster = RedisCluster(tmp_path, 3, 0)
    frozen_s = 8.0

    async def without(edge: Edge) -> float:
        load = Load(edge, "without")
        running_load = asyncio.ensure_future(load.run())
        await asyncio.sleep(4)
        load.stopped = True
        await running_load
        assert load.wrong(load.answers) == []
        return percentile(load.answers[RATE:], 0.99)

    async def main(edge: Edge, base_s: float) -> None:
        await fill(edge)
        load = Load(edge, "r6")
        running_load = asyncio.ensure_future(load.run())
        await asyncio.sleep(1.5)
        lines = len(edge.process.lines)
        frozen = time.monotonic()
        cluster.signal(signal.SIGSTOP)
        await asyncio.sleep(frozen_s)
        cluster.signal(signal.SIGCONT)
        thawed = time.monotonic()
        logged = len(edge.process.lines) - lines
        await asyncio.sleep(6)
        load.stopped = True
        await running_load
        first, rest = load.between(frozen, frozen + 1), load.between(frozen + 1, thawed)
        longest, p99_s = max(answer.took_s for _, answer in first), percentile(rest, 0.99)
        wrong, recovered = load.wrong(load.answers), load.whole_again(thawed)
        print(
            f"\nR6, all frozen for {frozen_s:.0f} s, N={len(first) + len(rest)}: {len(wrong)} errors, the longest in the "
            f"first second {longest * 1000:.1f} ms, then p99 {p99_s * 1000:.1f} ms, {p99_s / base_s:.2f} times that without "
            f"Redis ({base_s * 1000:.1f} ms); {logged} log lines; all hits again {recovered:.2f} s after"
        )
        assert wrong == []
        assert longest <= TIMEOUT_S + TOLERANCE_S + stalls.granted_s
        assert p99_s <= TIMEOUT_S + stalls.granted_s
        assert not any(answer.cache == "redis" for _, answer in rest)
        assert sum(answer.cache == "redis" for _, answer in load.between(thawed + 5, thawed + 6)) > 0.4 * RATE
        assert logged <= 10 * frozen_s
        assert recovered <= 5

    with served(tmp_path, simulator.url, None) as edge:
        base_s = uvloop.run(without(edge))
    with stopping(cluster), served(tmp_path, simulator.url, {"url": cluster.url, "cluster": True}) as edge:
        uvloop.run(main(edge, base_s))


async def ask_all(edge: Edge, mark: str) -> tuple[int, list[str], float]:
    """One second of the load: how many, the errors, and the longest."""
    load = Load(edge, mark)
    running_load = asyncio.ensure_future(load.run())
    await asyncio.sleep(1)
    load.stopped = True
    await running_load
    return len(load.answers), load.wrong(load.answers), max(answer.took_s for _, answer in load.answers)


def poison(client: redis.Redis) -> Iterator[str]:
    """Put each kind of wrong value under every live key; the name of what is there now."""
    keys = sorted(key for key in client.scan_iter(count=1000) if not key.endswith(b":gen"))
    genuine = {key: value for key in keys if (value := client.get(key)) is not None}
    keys = list(genuine)
    assert len(keys) >= STORED
    wrongs = {
        "another key's": lambda n: genuine[keys[(n + 1) % len(keys)]],
        "truncated": lambda n: genuine[keys[n]][: 1 + n * 7 % (len(genuine[keys[n]]) - 1)],
        "prolonged": lambda n: genuine[keys[n]] + b"x",
        "one bit": lambda n: flipped(genuine[keys[n]], n * 131 % (len(genuine[keys[n]]) * 8)),
        "empty": lambda _: b"",
        "JSON": lambda _: b'{"choices":[{"message":{"content":"nonce:evil"}}]}',
        "long": lambda _: bytes(3 << 20),
    }
    for what, value in wrongs.items():
        for n, key in enumerate(keys):
            client.set(key, value(n))
        yield what
    for key in keys:
        client.delete(key)
        client.rpush(key, "x")
    yield "a list"


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.pairs
def test_r7_a_hostile_server(simulator, tmp_path, stalls):
    server = RedisServer(tmp_path)
    asked, wrong, slowest = 0, [], 0.0

    def look(what: str) -> None:
        nonlocal asked, slowest
        count, found, longest = uvloop.run(ask_all(edge, what.translate({32: None, 39: None}).lower()))
        asked += count
        slowest = max(slowest, longest)
        wrong.extend(f"{what}: {line}" for line in found)

    settings = {"url": server.url(), "hmac_key": "a key of the tests that is long enough"}
    with stopping(server), served(tmp_path, simulator.url, settings) as edge:
        uvloop.run(fill(edge))
        with redis.Redis(port=server.port) as client:
            for what in poison(client):
                look(what)
            corrupt = metric(edge, 'edge_cache_requests_total{result="corrupt"')
            client.config_set("maxmemory", "1mb")
            look("oom")
            client.config_set("requirepass", "word")
            client.client_kill_filter(_type="normal")
            look("noauth")
        answers = metric(edge, 'edge_cache_requests_total{result="hit"')
    print(
        f"\nR7, N={asked}: {len(wrong)} wrong answers or errors, {corrupt:.0f} values refused, the longest {slowest * 1000:.1f} ms"
    )
    assert wrong == []
    assert corrupt >= STORED
    assert answers > 0
    assert slowest <= 2 * TIMEOUT_S + TOLERANCE_S + stalls.granted_s


@pytest.mark.pairs
def test_r7_redirections_in_circles(simulator, tmp_path, stalls):
    """Each of two real servers says that the other has the slot."""
    cluster = RedisCluster(tmp_path, 3, 0)
    with stopping(cluster), served(tmp_path, simulator.url, {"url": cluster.url, "cluster": True}) as edge:
        uvloop.run(fill(edge))
        circles = 0
        ids = [server.cli("CLUSTER", "MYID") for server in cluster.servers]
        for number, server in enumerate(cluster.servers):
            slots = {key_slot(key.encode()) for key in server.cli("--scan").split() if not key.endswith(":gen")}
            other = (number + 1) % 3
            server.cli("FLUSHALL")
            for slot in slots:
                circles += server.cli("CLUSTER", "SETSLOT", str(slot), "NODE", ids[other]) == "OK"
        asked, wrong, longest = uvloop.run(ask_all(edge, "moved"))
        refused = metric(edge, 'edge_cache_requests_total{result="error"')
    print(
        f"\nR7, {circles} slots whose redirections go in circles, N={asked}: {len(wrong)} errors, {refused:.0f} look-ups "
        f"given up, the longest {longest * 1000:.1f} ms"
    )
    assert wrong == []
    assert circles >= STORED // 2
    assert refused > 0
    assert longest <= TIMEOUT_S + TOLERANCE_S + stalls.granted_s
