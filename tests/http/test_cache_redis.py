"""Answers that several edges share in Redis."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest

from edge import config
from edge.cache.answers import Answers
from edge.cache.memory import Generation
from edge.telemetry.metrics import Metrics
from tests.harness import Edge, providers, running
from tests.redis_harness import RedisServer, open_sockets, stopping

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
    """Ask until the answer comes from there, for five seconds."""
    deadline = time.monotonic() + 5
    while (found := state(edge)) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_clearing_one_edge_clears_the_memory_of_all_who_share_its_redis(server, simulator, front, tmp_path):
    cache = {"mode": "all", "redis": {"url": server.url(), "timeout_ms": 1000}}
    edges = [Edge(tmp_path, {"providers": providers(simulator.url), "cache": cache}, front=front) for _ in range(2)]
    with running(*edges):
        until(edges[0], "memory")
        assert until(edges[1], "memory") == "memory"
        before = simulator.count()
        cleared = httpx2.post(f"{edges[0].url}/admin/api/cache/clear", headers={"content-type": "application/json"})
        assert cleared.json() == {"memory": "cleared", "redis": "cleared"}
        time.sleep(2.5)  # the other learns of it within about a second, and this one of nothing new
        assert state(edges[1]) == "miss"
        assert simulator.count() == before + 1
        time.sleep(0.2)
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
        await asyncio.sleep(0.1)
        assert open_sockets() == before
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(changing())
    assert server.cli("get", "d:gen").strip() == "1"
