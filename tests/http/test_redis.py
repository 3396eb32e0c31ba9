"""Answers in a real Redis: one server, with a password, with TLS, and a cluster."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time

import pytest
import uvloop

from edge.redis.pipe import MAX_WAITING, RedisUnavailable
from tests.fault_proxy import FaultProxy
from tests.harness import WAIT_S
from tests.redis_harness import PATIENT_MS, RedisCluster, RedisServer, digest_of, entry, remote, stopping


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    with stopping(made):
        yield made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = RedisCluster(tmp_path_factory.mktemp("redis"), 3, 0, password="open sesame")
    with stopping(made):
        yield made


async def exercise(url: str, **settings) -> None:
    """What has to be so wherever the answers lie, however late a busy machine is."""
    settings.setdefault("timeout_ms", PATIENT_MS)
    async with remote(url, **settings) as made:
        cache = made.cache
        for number in range(50):
            digest = digest_of(f"exercise {number}")
            assert await cache.get(digest, "a") is None
            body = os.urandom(number * 1000)
            await made.store(digest, body)
            found = await cache.get(digest, "a")
            assert found is not None
            assert found.body == body
            assert await cache.get(digest, "b") is None, "another tenant's"
        assert made.counts() == {"miss": 50, "hit": 50, "corrupt": 50}
        assert made.writes == {"stored": 50}

        assert await cache.lease(digest, b"one", 5000) is True
        assert await cache.lease(digest, b"two", 5000) is False
        assert await cache.release(digest, b"two") is False
        assert await cache.release(digest, b"one") is True
        assert await cache.lease(digest, b"one", 100) is True
        await asyncio.sleep(0.15)
        assert await cache.release(digest, b"one") is False, "it has run out"
        assert await cache.lease(digest, b"two", 5000) is True
        assert await cache.release(digest, b"two") is True

        async with remote(url, **settings) as other:
            assert (await other.cache.get(digest, "a")).body == body
            generation = await cache.clear()
            assert await cache.get(digest, "a") is None
            await other.until(lambda: other.cache.generation == generation, 20)
            assert await other.cache.get(digest, "a") is None
            await other.store(digest, b"new")
            assert (await cache.get(digest, "a")).body == b"new"


def test_one_server(server):
    uvloop.run(exercise(server.url()))
    uvloop.run(exercise(server.url() + "/3", hmac_key=None, prefix="other"))


def test_asyncios_own_loop(server):
    asyncio.run(exercise(server.url(), prefix="asyncio"))


def test_a_host_name(server):
    uvloop.run(exercise(f"redis://localhost:{server.port}", prefix="name"))


def test_a_password(tmp_path):
    made = RedisServer(tmp_path, password="p@ss:w/ord")
    with stopping(made):
        uvloop.run(exercise(f"redis://:p%40ss%3Aw%2Ford@127.0.0.1:{made.port}/1"))

        async def wrong(url: str) -> None:
            async with remote(url, wait=False) as client:
                assert not client.cache.ready
                assert await client.cache.get(digest_of(1), "a") is None
                client.cache.put(digest_of(1), "a", entry(b"x"))
                assert client.counts() == {"unready": 1}
                assert client.writes == {"dropped": 1}
                await asyncio.sleep(1)
                assert len(client.log.all) == 1, "once, not each time"
                assert "p@ss" not in str(client.log.all)
                assert "guess" not in str(client.log.all)

        uvloop.run(wrong(f"redis://:guess@127.0.0.1:{made.port}"))
        uvloop.run(wrong(f"redis://127.0.0.1:{made.port}"))


def test_tls(tmp_path):
    made = RedisServer(tmp_path, password="sesame", tls=True)
    with stopping(made):
        uvloop.run(exercise(made.url(), ca_file=str(made.certificate)))
        uvloop.run(exercise(f"rediss://:sesame@localhost:{made.port}", prefix="name", ca_file=str(made.certificate)))

        async def untrusted() -> None:
            async with remote(made.url(), wait=False) as client:
                assert not client.client.ready
                assert await client.cache.get(digest_of(1), "a") is None

        uvloop.run(untrusted())
    with pytest.raises(FileNotFoundError):
        uvloop.run(exercise(made.url(), ca_file=str(tmp_path / "absent.crt")))


def test_a_cluster(cluster):
    uvloop.run(exercise(cluster.url, cluster=True))


def test_a_cluster_with_tls(tmp_path):
    made = RedisCluster(tmp_path, 3, 0, password="sesame", tls=True)
    with stopping(made):
        uvloop.run(exercise(made.url, cluster=True, ca_file=str(made.servers[0].certificate)))


def test_keys_are_short_fixed_and_say_nothing(server, cluster):
    """And nothing is asked of Redis that looks at more than one key."""

    async def fill(url: str, **settings) -> None:
        async with remote(url, **settings, timeout_ms=PATIENT_MS, prefix="shape") as made:
            for number in range(20):
                await made.store(digest_of(number), b"the prompt", tenant="tenant-a")
                await made.cache.lease(digest_of(number), b"token", 60000)

    uvloop.run(fill(server.url()))
    uvloop.run(fill(cluster.url, cluster=True))
    for each in (server, *cluster.servers):
        keys = [key for key in each.cli("--scan", "--pattern", "shape:*").split() if key != "shape:gen"]
        assert all(re.fullmatch(r"shape:[0-9]{11}:[A-Za-z0-9_-]{27}", key) for key in keys), keys
        assert all(len(key) == len("shape") + 40 for key in keys)
        assert each is not server or len(keys) == 40
        slow = each.cli("SLOWLOG", "GET", "128").lower()
        asked = set(re.findall(r"cmdstat_([a-z|]+)", each.cli("INFO", "commandstats"))) - {"scan", "slowlog|get"}
        assert not asked & {"keys", "mget", "flushall", "cluster|slots", "hello"}, asked
        assert "keys" not in slow


def test_no_reply_ever_goes_to_another_call(server):
    """Calls that are cancelled at any instant, through a network that delays what it carries: CVE-2023-28858."""
    calls, cancelled, wrong, right, failed = 2000, 0, 0, 0, 0
    chance = random.Random(7)

    async def one(client, number: int) -> bytes | None:
        return await client.call(b"GET", f"nonce:{number}")

    async def main(proxy: FaultProxy) -> None:
        nonlocal cancelled, wrong, right, failed
        async with remote(f"redis://127.0.0.1:{proxy.port}", timeout_ms=2000) as made:
            most = 0
            for number in range(100):
                await made.client.call(b"SET", f"nonce:{number}", f"value {number}")

            async def worker(share: int) -> None:
                nonlocal cancelled, wrong, right, failed, most
                for _ in range(share):
                    proxy.faults.latency_s = chance.uniform(0, 0.01)
                    number = chance.randrange(100)
                    task = asyncio.ensure_future(one(made.client, number))
                    if chance.random() < 0.2:
                        await asyncio.sleep(chance.uniform(0, 0.02))
                        task.cancel()
                    try:
                        reply = await task
                    except asyncio.CancelledError:
                        cancelled += 1
                        continue
                    except RedisUnavailable:
                        failed += 1
                        continue
                    most = max(most, sum(node.connections for node in made.client.nodes))
                    if reply == f"value {number}".encode():
                        right += 1
                    else:
                        wrong += 1

            await asyncio.gather(*(worker(calls // 12) for _ in range(12)))
            assert most <= 17

    with FaultProxy(server.port) as proxy:
        uvloop.run(main(proxy))
    print(f"\n{calls} calls, {cancelled} cancelled, {failed} failed: {right} right replies, {wrong} wrong")
    assert wrong == 0
    assert cancelled > 0.1 * calls
    assert right > 0.6 * calls


def test_many_at_once_share_one_connection_and_too_many_are_misses_at_once(server):
    async def main() -> None:
        async with remote(server.url(), timeout_ms=PATIENT_MS) as made:
            await made.store(digest_of("crowd"), b"x")
            node = made.client.nodes[0]
            found = await asyncio.gather(*(made.cache.get(digest_of("crowd"), "a") for _ in range(MAX_WAITING - 10)))
            assert None not in found
            found = await asyncio.gather(*(made.cache.get(digest_of("crowd"), "a") for _ in range(3 * MAX_WAITING)))
            assert MAX_WAITING - 10 <= sum(each is not None for each in found) <= MAX_WAITING
            assert made.counts()["busy"] == found.count(None)
            assert node.connections == 1
            assert made.client.ready, "that is no failure"

    uvloop.run(main())


def test_what_does_not_fit_is_not_stored(server):
    async def main() -> None:
        async with remote(server.url(), timeout_ms=PATIENT_MS) as made:
            await made.store(digest_of("large"), os.urandom((1 << 20) - 500))
            assert len((await made.cache.get(digest_of("large"), "a")).body) == (1 << 20) - 500
            await made.store(digest_of("too large"), bytes(1 << 20))
            assert made.writes == {"stored": 1, "too_large": 1}
            # As many as the queue has room for; what waits is bounded by count and by bytes.
            for number in range(100):
                made.cache.put(digest_of(f"wide {number}"), "a", entry(bytes(1 << 19)))
            for number in range(600):
                made.cache.put(digest_of(f"small {number}"), "a", entry(b"x"))
            assert len(made.cache._queue) <= 256
            await made.until(lambda: sum(made.writes.values()) == 702)
            assert made.writes["dropped"] >= 344
            for number in range(100):
                made.cache.put(digest_of(f"wide {number}"), "a", entry(bytes(1 << 19)))
            assert made.cache._bytes <= 16 << 20
            await made.until(lambda: sum(made.writes.values()) == 802)
            assert made.cache._bytes == 0
            assert "error" not in made.writes

    uvloop.run(main())


def test_answers_live_as_long_as_they_say(server):
    async def main() -> None:
        async with remote(server.url(), timeout_ms=PATIENT_MS, ttl_s=5) as made:
            await made.store(digest_of("short"), b"x", ttl_s=2)
            await made.store(digest_of("long"), b"x", ttl_s=1000)
            await made.store(digest_of("over"), b"x", ttl_s=-1)
            assert made.writes == {"stored": 2, "dropped": 1}
            found = await made.cache.get(digest_of("long"), "a")
            assert 3 < found.expires_at - time.time() <= 5
            assert await made.cache.get(digest_of("short"), "a") is not None
            await asyncio.sleep(2.1)
            assert await made.cache.get(digest_of("short"), "a") is None
            assert made.counts() == {"hit": 2, "miss": 1}

    uvloop.run(main())


def test_a_generation_never_goes_back(server):
    """Lost in a failover or thrown out: what was cleared must not return, and the next clearing must count."""

    async def main() -> None:
        async with remote(server.url(), timeout_ms=PATIENT_MS, prefix="gen") as made:
            await made.store(digest_of("old"), b"x")
            for _ in range(3):
                last = await made.cache.clear()
            server.cli("SET", "gen:gen", str(last - 2))
            await made.until(lambda: server.cli("GET", "gen:gen") == str(last))
            server.cli("DEL", "gen:gen")
            assert await made.cache.clear() == last + 1
            server.cli("SET", "gen:gen", "no number")
            with pytest.raises(RedisUnavailable):
                await made.cache.clear()
            await asyncio.sleep(1.2)
            assert made.cache.generation == last + 1
            server.cli("DEL", "gen:gen")
            await made.until(lambda: server.cli("GET", "gen:gen") == str(last + 1))

    uvloop.run(main())


def test_slots_that_move(cluster):
    """Redirected once, each call: ASK while a slot is on its way, MOVED until the probe has learned."""
    key = b"moving"
    source = cluster.owner(key)
    target = next(server for server in cluster.primaries() if server is not source)
    slot = source.cli("CLUSTER", "KEYSLOT", "moving")
    names = {server: server.cli("CLUSTER", "MYID") for server in (source, target)}

    async def main() -> None:
        async with remote(cluster.url, cluster=True, timeout_ms=PATIENT_MS) as made:
            call = made.client.call
            assert await call(b"SET", key, b"1") == b"OK"
            target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
            source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
            assert await call(b"GET", key) == b"1"
            source.cli("MIGRATE", "127.0.0.1", str(target.port), key.decode(), "0", "1000", "AUTH", source.password)
            for _ in range(20):
                assert await call(b"GET", key) == b"1", "asked where it is now"
            for server in (target, source):
                server.cli("CLUSTER", "SETSLOT", slot, "NODE", names[target])
            for _ in range(20):
                assert await call(b"GET", key) == b"1", "moved"

            def moved() -> list[str]:
                return re.findall(r"MOVED:count=\d+", source.cli("INFO", "errorstats"))

            async with asyncio.timeout(WAIT_S):
                while True:
                    before = moved()
                    assert await call(b"GET", key) == b"1"
                    if moved() == before:
                        break
            for _ in range(20):
                assert await call(b"GET", key) == b"1", "learned"
            assert moved() == before

    uvloop.run(main())


def test_a_cluster_without_the_setting_is_a_miss_and_one_line(cluster):
    async def main() -> None:
        async with remote(cluster.url, wait=False) as made:
            for number in range(100):
                assert await made.cache.get(digest_of(number), "a") is None
                made.cache.put(digest_of(number), "a", entry(b"x"))
            await asyncio.sleep(1)
            assert len(made.log.all) <= 4, made.log.all

    uvloop.run(main())


def test_one_server_with_the_setting_of_a_cluster_is_a_miss_and_one_line(server):
    async def main() -> None:
        async with remote(server.url(), cluster=True, wait=False) as made:
            await made.until(lambda: len(made.log.all) >= 2)
            await asyncio.sleep(1)
            assert await made.cache.get(digest_of(1), "a") is None
            assert not made.client.ready
            assert len(made.log.all) == 2, made.log.all

    uvloop.run(main())
