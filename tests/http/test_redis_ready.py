"""`edge_redis_ready`: whether answers can be stored in Redis and read from it, as `/metrics` tells it."""

from __future__ import annotations

import re

import httpx2
import pytest
import uvloop

from tests.cached_edge import KEYS, metric, wait_for_redis
from tests.harness import Edge, free_port, providers, running
from tests.redis_harness import PATIENT_MS, RedisCluster, RedisServer, Remote, digest_of, remote


def ready(made: Remote) -> float:
    (value,) = re.findall(r"^edge_redis_ready (\S+)$", made.metrics.render().decode(), re.MULTILINE)
    return float(value)


@pytest.fixture
def server(tmp_path):
    made = RedisServer(tmp_path)
    yield made
    made.stop()


def test_there_is_a_sample_before_redis_is(tmp_path, simulator):
    port = free_port()
    admin = {"id": "admin", "digests": [KEYS["admin"][1]], "admin": True}
    redis = {"url": f"redis://127.0.0.1:{port}"}
    config = {"providers": providers(simulator.url), "auth": {"keys": [admin]}, "cache": {"redis": redis}}
    edge = Edge(tmp_path, config)
    with running(edge):
        text = httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": KEYS["admin"][0]}).text
        assert "\nedge_redis_ready 0.0\n" in text
        made = RedisServer(tmp_path, port=port)
        try:
            wait_for_redis(edge, 1)
        finally:
            made.stop()
    without = Edge(tmp_path, {"providers": providers(simulator.url)})
    with running(without):
        assert metric(without, "edge_redis_ready") == 0
        assert "\nedge_redis_ready " not in httpx2.get(f"{without.url}/metrics").text


def test_a_cluster_that_is_not_known_to_be_one(tmp_path):
    cluster = RedisCluster(tmp_path)

    async def main() -> None:
        for each in cluster.servers:
            async with remote(each.url(), wait=False) as made:
                assert made.client.ready
                assert ready(made) == 0
                assert [line for line in made.log.all if "cache.redis.cluster is not set" in str(line)]
        async with remote(cluster.url, cluster=True, timeout_ms=PATIENT_MS) as made:
            assert ready(made) == 1

    try:
        uvloop.run(main())
    finally:
        cluster.stop()


def test_a_cluster_of_one_is_a_server_like_any_other(tmp_path):
    server = RedisServer(tmp_path, "cluster-enabled yes", port=free_port(bus=True))
    try:
        server.cli("CLUSTER", "ADDSLOTSRANGE", "0", "16383")

        async def main() -> None:
            async with remote(server.url(), timeout_ms=PATIENT_MS) as made:
                await made.until(lambda: ready(made) == 1)
                await made.store(digest_of(1), b"x")
                assert made.writes == {"stored": 1}

        uvloop.run(main())
    finally:
        server.stop()


def test_a_server_that_answers_and_refuses(server):
    async def main() -> None:
        server.cli("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+ping", "+hello", "+client", "-get")
        async with remote(server.url().replace("//", "//reader:x@"), wait=False) as made:
            assert made.client.ready
            assert ready(made) == 0
            server.cli("ACL", "SETUSER", "reader", "+@all")
            await made.until(lambda: ready(made) == 1)

    uvloop.run(main())


def test_a_server_that_takes_no_more(server):
    async def main() -> None:
        async with remote(server.url(), timeout_ms=PATIENT_MS) as made:
            assert ready(made) == 1
            server.cli("CONFIG", "SET", "maxmemory", "1")
            await made.store(digest_of(1), b"x")
            assert ready(made) == 0
            server.cli("CONFIG", "SET", "maxmemory", "0")
            await made.store(digest_of(2), b"x")
            await made.until(lambda: ready(made) == 1)
            server.kill()
            await made.until(lambda: ready(made) == 0)

    uvloop.run(main())
