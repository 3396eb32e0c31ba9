"""What a worker settles in a real Redis counts once, whatever becomes of its replies: one server, and a cluster."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from contextlib import asynccontextmanager

import pytest
import uvloop

from edge import config
from edge.guard.quotas import DAY_S, Quota
from edge.guard.shared_quotas import KEPT_MS, SETTLE, TAKE, SharedQuotas, Taken
from tests.fault_proxy import FaultProxy, Faults
from tests.harness import WAIT_S
from tests.redis_harness import RedisCluster, RedisServer, remote, stopping

TODAY = int(time.time()) // DAY_S
QUOTAS = [Quota("key", f"k{number}", 10_000_000, 10**15, "month") for number in range(6)]
"""In a cluster of three each server has some of them."""
HOLD_MS = 150
KEYS = ("tokens", "spent", "held", "taken", "settled")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    with stopping(made):
        yield made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = RedisCluster(tmp_path_factory.mktemp("redis"), 3, 0)
    with stopping(made):
        yield made


class Worker:
    """Reserves and settles, and knows what it has settled, by quota."""

    def __init__(self, client, prefix):
        settings = config.Redis(url=config.Secret("redis://127.0.0.1:1"), prefix=prefix)
        self.shared = SharedQuotas(client, settings, b"machine", lambda: True, time.time)
        self.spent = dict.fromkeys(QUOTAS, 0)
        self.number = 0

    async def reserve(self, quota):
        """None where Redis does not say so."""
        taken, told = Taken(quota, TODAY, 10, 1000, HOLD_MS), asyncio.get_running_loop().create_future()
        if not self.shared.take(taken, lambda _, words: told.set_result(words)):
            return None
        words = await told
        if words is None:
            self.shared.settle(taken, 0, 0)
            return None
        taken.until = int(words[1])
        return taken

    def settle(self, quota, taken):
        """By a sum that tells the settlements apart."""
        self.number += 1
        cost = 10**6 + self.number
        self.spent[quota] += cost
        if taken is None:
            self.shared.add(quota, TODAY, 10, cost)
        else:
            self.shared.settle(taken, 10, cost)

    async def all_told(self):
        ends = time.monotonic() + WAIT_S
        while self.shared.pending or self.shared._under_way:
            assert time.monotonic() < ends, len(self.shared.pending)
            await asyncio.sleep(0.05)


@asynccontextmanager
async def worker(url, prefix, **settings):
    async with remote(url, **settings) as made:
        yield Worker(made.client, prefix)


def names(worker, quota):
    return [key.decode() for key in worker.shared._keys(quota, TODAY)]


def look(made, worker, owners):
    """All that is spent is what was settled, nothing is reserved, and few numbers are kept."""
    for quota in QUOTAS:
        cli = owners(names(worker, quota)[0]).cli
        _, spent, held, taken, settled = names(worker, quota)
        assert int(cli("GET", spent)) == worker.spent[quota], quota.name
        # The next reservation takes out those that have expired.
        time.sleep(HOLD_MS / 1000)
        cli("EVAL", TAKE.decode(), "4", *names(worker, quota)[:4], "last:1", "1", "0", "1", str(10**16), "60000")
        assert (cli("GET", held), cli("ZCARD", taken)) == ("1", "1"), quota.name
        numbers = cli("HGET", settled, worker.shared.name.decode()).split()
        made.append(len(numbers))
        assert int(cli("HLEN", settled)) == 1
        assert int(cli("PTTL", settled)) > 3_600_000


async def with_freezes(worker, servers, times):
    """Settle while servers stand still: what they are sent then is carried out when they go on, and their replies come
    too late; reservations expire meanwhile.
    """
    for turn in range(times):
        reserved = [(quota, await worker.reserve(quota)) for quota in QUOTAS * 5]
        frozen = random.sample(servers, random.randint(1, len(servers)))
        for each in frozen:
            each.signal(signal.SIGSTOP)
        try:
            for quota, taken in reserved:
                worker.settle(quota, taken)
            await asyncio.sleep(2 * HOLD_MS / 1000)
            for quota in QUOTAS:
                worker.settle(quota, None)
            await asyncio.sleep(0.1)
        finally:
            for each in frozen:
                each.signal(signal.SIGCONT)
        if turn % 2:
            await worker.all_told()
    await worker.all_told()


def test_what_is_settled_while_a_server_stands_still_counts_once(server):
    async def run():
        async with worker(server.url(), "frozen") as made:
            await with_freezes(made, [server], 6)
            kept = []
            look(kept, made, lambda _: server)
            print(f"{made.number} settlements over 6 freezes, all once; numbers kept of a worker: {kept}")

    uvloop.run(run())


def test_what_is_settled_in_a_cluster_whose_servers_stand_still_counts_once(cluster):
    async def run():
        async with worker(cluster.url, "frozen", cluster=True) as made:
            await with_freezes(made, cluster.servers, 6)
            kept = []
            look(kept, made, lambda key: cluster.owner(key.encode()))
            print(f"{made.number} settlements in a cluster over 6 freezes, all once; numbers kept of a worker: {kept}")

    uvloop.run(run())


def test_settlements_whose_replies_are_lost_by_the_network_count_once(server):
    async def run():
        with FaultProxy(server.port, Faults()) as proxy:
            async with worker(f"redis://127.0.0.1:{proxy.port}", "lost") as made:
                for _ in range(60):
                    taken = [(quota, await made.reserve(quota)) for quota in QUOTAS]
                    proxy.faults.reset_share = 0.5
                    for quota, each in taken:
                        made.settle(quota, each)
                    await asyncio.sleep(0.02)
                    proxy.faults.reset_share = 0.0
                await made.all_told()
                kept = []
                look(kept, made, lambda _: server)
                assert proxy.resets > 5
                print(f"{made.number} settlements, {proxy.resets} connections reset: all once; numbers kept: {kept}")

    uvloop.run(run())


class Script:
    """The scripts as a worker sends them, without one."""

    def __init__(self, server, tag):
        self.server = server
        self.keys = [f"{tag}:{{limit-1}}:{name}" for name in KEYS]
        self.ends_ms = (TODAY + 1) * DAY_S * 1000 + KEPT_MS

    def take(self, member):
        return self.server.cli(
            "EVAL", TAKE.decode(), "4", *self.keys[:4], member, "10", "1000", "500", "100000", "60000"
        )

    def settle(self, number, least, member="", *, worker="w", used=4, spent=400, until=0):
        reserved = ("500", "10") if member else ("0", "0")
        told = (worker, number, least, member, *reserved, used, until, 1000, spent, self.ends_ms)
        return int(self.server.cli("EVAL", SETTLE.decode(), "5", *self.keys, *map(str, told)))

    def money(self):
        return [int(self.server.cli("GET", key).strip() or "0") for key in self.keys[1:3]]

    def expire(self, member):
        self.server.cli("ZADD", self.keys[3], "1", member)


def test_a_settlement_counts_once_though_its_reservation_has_expired(server):
    """Redis was away for so long, its clock was set forward, or a replica without the latest writes took over."""
    script = Script(server, "expired")
    assert script.take("gone:500").startswith("taken ")
    script.expire("gone:500")
    assert script.take("kept:500").startswith("taken ")
    assert script.money() == [0, 500], "the first has expired"
    tokens = server.cli("GET", script.keys[0])
    assert script.settle(1, 1, "gone:500") == 1
    assert script.money() == [400, 500]
    assert server.cli("GET", script.keys[0]) == tokens, "tokens of an expired reservation are not given back"
    assert script.settle(1, 1, "gone:500") == 0, "it was carried out, and nobody heard of it"
    assert script.settle(2, 1, "kept:500") == 1
    script.expire("kept:500")
    assert script.settle(2, 1, "kept:500") == 0
    assert script.money() == [800, 0]
    assert script.settle(3, 1, used=100) == 1, "what was used without being reserved"
    assert int(server.cli("GET", script.keys[0])) > int(tokens)


def test_a_copy_that_comes_after_its_settlement_was_heard_of_counts_no_more(server):
    script = Script(server, "copies")
    order = [
        (3, 1),
        (1, 1),
        (3, 1),
        (2, 1),
        (1, 1),
        (5, 4),
        (2, 1),
        (3, 3),
        (4, 4),
        (5, 4),
        (6, 6),
        (4, 4),
        (5, 1),
        (6, 6),
    ]
    counted = [number for number, least in order if script.settle(number, least)]
    assert counted == [3, 1, 2, 5, 4, 6]
    assert script.money() == [6 * 400, 0]
    assert server.cli("HGET", script.keys[4], "w").split() == ["6", "6"]
    assert script.settle(1, 1, worker="another") == 1
    assert script.money() == [7 * 400, 0]


def test_any_order_of_copies_counts_each_settlement_once(server):
    chance = random.Random(15)
    script, number, total = Script(server, "any"), 0, 0
    waiting, sent = [], []
    for _ in range(300):
        if not waiting or chance.random() < 0.4:
            number += 1
            waiting.append(number)
        each = chance.choice(waiting)
        copy = (each, min(waiting))
        sent.append(copy)
        total += script.settle(*copy)
        if chance.random() < 0.5:  # its reply has come
            waiting.remove(each)
        if chance.random() < 0.3:  # a copy that was on its way for long
            total += script.settle(*chance.choice(sent))
    while waiting:
        total += script.settle(waiting[0], waiting[0])
        del waiting[0]
    assert total == number
    assert script.money() == [number * 400, 0]
