"""Answers that several edges share in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from edge import config
from edge.cache.answers import Answers
from edge.cache.memory import Generation
from edge.telemetry.metrics import Metrics
from tests.cached_edge import metric
from tests.fake_redis import SILENCE, FakeRedis, Reply
from tests.harness import WAIT_S, Edge, providers, running
from tests.harness import until as wait
from tests.http.test_accounting import lines
from tests.redis_harness import RedisServer, open_sockets, stopping

pytestmark = pytest.mark.early

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def server(tmp_path):
    made = RedisServer(tmp_path)
    with stopping(made):
        yield made


def state(edge) -> str:
    got = httpx2.post(f"{edge.url}/v1/chat/completions", json=BODY)
    assert got.status_code == 200
    return got.headers["x-edge-cache"]


def until(edge, wanted: str) -> str:
    """Ask until the answer comes from there."""
    deadline = time.monotonic() + WAIT_S
    while (found := state(edge)) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def written(edge) -> float:
    return metric(edge, 'edge_cache_writes_total{result="stored",tier="redis"}')


def test_clearing_one_edge_clears_the_memory_of_all_who_share_its_redis(server, simulator, front, tmp_path, stalls):
    cache = {"mode": "all", "redis": {"url": server.url(), "timeout_ms": 1000}}
    edges = [Edge(tmp_path, {"providers": providers(simulator.url), "cache": cache}, front=front) for _ in range(2)]
    with running(*edges):
        until(edges[0], "memory")
        assert until(edges[1], "memory") == "memory"
        before = simulator.count()
        cleared = httpx2.post(f"{edges[0].url}/admin/api/cache/clear", headers={"content-type": "application/json"})
        assert cleared.json() == {"memory": "cleared", "redis": "cleared"}
        begun, stored = time.monotonic(), written(edges[1])
        assert until(edges[1], "miss") == "miss"
        assert time.monotonic() - begun <= 2.5 + stalls.granted_s, "the other learns of it within about a second"
        assert simulator.count() == before + 1
        wait(lambda: written(edges[1]) > stored)  # it is stored behind the answer
        assert state(edges[0]) == "redis"
        assert state(edges[0]) == "memory"


def test_changes_that_overtake_each_other_leave_one_connection_and_the_latest_settings(server):
    def settings(prefix):
        return config.Cache(mode="all", redis=config.Redis(url=config.Secret(server.url()), prefix=prefix))

    async def changing() -> None:
        made = Answers(settings("a"), Metrics(), Generation())
        before = open_sockets()
        await made.start()
        await asyncio.gather(*(made.adjust(settings(prefix)) for prefix in "bcd"))
        await asyncio.sleep(0.3)
        assert await made.clear() == "cleared"
        await made.close()
        await asyncio.to_thread(wait, lambda: open_sockets() == before)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(changing())
    assert server.cli("get", "d:gen").strip() == "1"


CHAT = "/v1/chat/completions"


@asynccontextmanager
async def beside(
    simulator, front, folder, reply, timeout_ms: int
) -> AsyncIterator[tuple[Edge, FakeRedis, httpx2.AsyncClient]]:
    """An edge, a Redis that answers as `reply` says, and a client."""
    async with FakeRedis(reply) as redis:
        cache = {"mode": "all", "redis": {"url": redis.url, "timeout_ms": timeout_ms}}
        made = await asyncio.to_thread(
            Edge, folder, {"providers": providers(simulator.url), "cache": cache}, front=front
        )
        try:
            async with httpx2.AsyncClient(base_url=made.url, timeout=20) as client:
                yield made, redis, client
        finally:
            await asyncio.to_thread(made.process.stop)


def silent(words: list[bytes]) -> Reply:
    return SILENCE


def empty(words: list[bytes]) -> Reply:
    return {b"GET": b"$-1\r\n", b"SET": b"+OK\r\n"}.get(words[0], b":1\r\n")


def test_many_identical_requests_are_answered_by_one_get(server, simulator, front, tmp_path):
    """And each is in the books as one that Redis has answered."""
    redis = {"url": server.url(), "timeout_ms": 10_000}
    config = {"providers": providers(simulator.url), "cache": {"mode": "all", "redis": redis}}
    edges = [Edge(tmp_path, config, front=front) for _ in range(2)]

    async def crowd(url: str) -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=url) as client:
            server.cli("CLIENT", "PAUSE", "2000", "ALL")  # until all of them have come
            return await asyncio.gather(*(client.post(CHAT, json=BODY) for _ in range(20)))

    with running(*edges):
        assert until(edges[0], "memory") == "memory"
        before = simulator.count()
        got = asyncio.run(crowd(edges[1].url))
        assert [each.headers["x-edge-cache"] for each in got] == ["redis"] * 20
        assert len({each.content for each in got}) == 1
        assert simulator.count() == before
        assert metric(edges[1], 'edge_cache_requests_total{result="hit",tier="redis"}') == 1
        logged = lines(edges[1], 20)
        assert {line["cache"] for line in logged} == {"redis"}
        usage = got[0].json()["usage"]
        told = usage["prompt_tokens"] + usage["completion_tokens"]
        assert metric(edges[1], "edge_saved_tokens_total{") == 20 * told
        assert all(line["overhead_ms"] > 0 and line["provider"] == "openai" for line in logged)  # who gave it


def test_a_request_waits_once_for_a_redis_that_says_nothing(simulator, front, tmp_path, stalls):
    """It does not wait for a lease too, nor do those who came with it."""

    async def main() -> None:
        async with beside(simulator, front, tmp_path, silent, 600) as (_, redis, client):
            began = time.monotonic()
            got = await asyncio.gather(*(client.post(CHAT, json=BODY) for _ in range(5)))
            took = time.monotonic() - began
            assert {each.status_code for each in got} == {200}
            assert 0.55 < took < 1.1 + stalls.granted_s
            assert redis.count(b"GET") == 1
            assert not [words for words in redis.asked if b"NX" in words]

    asyncio.run(main())


def test_the_time_a_client_has_bounds_its_wait_for_redis(simulator, front, tmp_path, stalls):
    async def main() -> None:
        async with beside(simulator, front, tmp_path, silent, 5000) as (_, _, client):
            began = time.monotonic()
            patient = asyncio.create_task(client.post(CHAT, json=BODY))
            got = await client.post(CHAT, json=BODY, headers={"x-edge-timeout-ms": "300"})
            assert time.monotonic() - began < 1 + stalls.granted_s
            assert got.json()["error"]["code"] == "timeout"
            assert (await patient).status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize("reply", [empty, silent, lambda _: None], ids=["empty", "silent", "closing"])
def test_only_if_cached_asks_redis_and_nobody_else(simulator, front, tmp_path, reply):
    async def main() -> None:
        async with beside(simulator, front, tmp_path, reply, 200) as (_, redis, client):
            before = simulator.count()
            got = await client.post(CHAT, json=BODY, headers={"cache-control": "only-if-cached"})
            assert (got.status_code, got.json()["error"]["code"]) == (504, "not_cached")
            assert [words[0] for words in redis.asked] == [b"GET"]
            assert simulator.count() == before

    asyncio.run(main())


def test_no_cache_and_no_store_do_not_ask_redis(simulator, front, tmp_path):
    async def main() -> None:
        async with beside(simulator, front, tmp_path, empty, 200) as (_, redis, client):
            for directive, written in (("no-store", 0), ("no-cache", 1)):
                got = await client.post(CHAT, json=BODY, headers={"cache-control": directive})
                assert got.status_code == 200
                await asyncio.sleep(0.2)
                await asyncio.to_thread(wait, lambda written=written: len(redis.asked) >= written)
                assert [words[0] for words in redis.asked] == [b"SET"] * written

    asyncio.run(main())


def test_a_client_that_leaves_while_redis_is_asked_is_in_the_books_once(simulator, front, tmp_path):
    async def main() -> None:
        async with beside(simulator, front, tmp_path, silent, 10_000) as (edge, redis, client):
            before = simulator.count()
            asking = asyncio.create_task(client.post(CHAT, json=BODY))
            await asyncio.to_thread(wait, lambda: redis.count(b"GET") == 1)
            asking.cancel()
            await asyncio.to_thread(edge.process.wait_for, '"event":"request"')
            await asyncio.sleep(0.3)
            lines = [
                line for line in edge.process.output.splitlines() if '"event":"request"' in line and CHAT[4:] in line
            ]
            assert len([line for line in lines if "client_cancelled" in line]) == 1, edge.process.output
            assert simulator.count() == before

    asyncio.run(main())


def test_a_stream_from_redis_is_replayed_as_it_came(server, simulator, front, tmp_path):
    cache = {"mode": "all", "replay": "paced", "redis": {"url": server.url(), "timeout_ms": 1000}}
    config = {"providers": providers(simulator.url), "cache": cache}
    edges = [Edge(tmp_path, config, front=front) for _ in range(2)]
    body = {"model": "sim-words-20-tps-40", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with running(*edges):
        first = httpx2.post(edges[0].url + CHAT, json=body)
        wait(lambda: written(edges[0]) == 1)
        began = time.monotonic()
        again = httpx2.post(edges[1].url + CHAT, json=body)
        assert time.monotonic() - began > 0.3
        assert again.headers["x-edge-cache"] == "redis"
        assert again.content == first.content
