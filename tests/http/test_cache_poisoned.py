"""Who can write to Redis cannot write a head, a label or a number: what no answer of ours can say is a counted miss."""

from __future__ import annotations

import time
from hashlib import sha256

import httpx2
import msgspec
import pytest
from redis import Redis

from edge.cache.entry import Entry
from edge.cache.envelope import FIELDS, HEADER
from tests.cached_edge import KEYS, cached, metric, said, wait_for_redis
from tests.harness import Client, Edge, running
from tests.redis_harness import RedisServer, stopping

EVIL = {
    "provider": "openai\r\nset-cookie: stolen=1\r\n\r\nHTTP/1.1 200 OK",
    "model": "gpt-4o\r\nset-cookie: stolen=1",
    "cost": 2**62,
    "usage": [2**62, 1],
    "api": "chat\r\nx: y",
    "stored_at": float("nan"),
}


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    made = RedisServer(tmp_path_factory.mktemp("redis"))
    with stopping(made):
        yield made


@pytest.fixture(scope="module", params=["lane", "asgi"])
def edges(request, simulator, redis, tmp_path_factory):
    """One that fills Redis, and one that reads it."""
    folder = tmp_path_factory.mktemp("edges")
    settings = cached(simulator.url, {"url": redis.url(), "prefix": request.param, "timeout_ms": 2000})
    made = [Edge(folder, settings, front=request.param) for _ in range(2)]
    with running(*made):
        for each in made:
            wait_for_redis(each, 1)
        yield made


def chat(name: str) -> bytes:
    return msgspec.json.encode({"model": "gpt-4o", "messages": [{"role": "user", "content": said(name)}]})


def ask(edge: Edge, name: str) -> tuple[int, dict[str, str]]:
    with Client(edge.port) as client:
        client.post("/v1/chat/completions", chat(name), f"x-api-key: {KEYS['a'][0]}")
        status, headers = client.head()
        assert name.encode() in client.body(headers)
        assert client.buffer == b""
        return status, headers


def altered(value: bytes, field: str, to: object) -> bytes:
    """The envelope with another value in a field of its entry, and all that belongs to it."""
    row = msgspec.msgpack.decode(value[HEADER:])
    row[Entry.__struct_fields__.index(field)] = to
    payload = msgspec.msgpack.encode(row)
    fields = FIELDS.unpack(value[: FIELDS.size])
    head = FIELDS.pack(*fields[:6], row[7], row[8], HEADER + len(payload), len(payload))
    return head + sha256(head + payload).digest()[:16] + payload


def poison(redis: RedisServer, prefix: str, before: set[bytes], field: str, to: object) -> None:
    """Alter the answer that is new since `before`."""
    deadline = time.monotonic() + 30
    with Redis(port=redis.port) as connection:
        while len(found := stored(redis, prefix) - before) != 1:  # answers are written behind the client's back
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (key,) = found
        connection.set(key, altered(connection.get(key), field, to), keepttl=True)


def stored(redis: RedisServer, prefix: str) -> set[bytes]:
    """The keys of answers: others of the kind are a generation and leases, which have the number 0."""
    with Redis(port=redis.port) as connection:
        return {key for key in connection.keys(f"{prefix}:*") if connection.strlen(key) > HEADER}


@pytest.mark.parametrize("field", EVIL)
def test_what_no_configuration_could_say_is_a_miss(edges, redis, request, field):
    filler, reader = edges
    prefix = request.node.callspec.params["edges"]
    name = f"poison{field.replace('_', '')}"
    before = stored(redis, prefix)
    assert ask(filler, name)[1]["x-edge-cache"] == "miss"
    poison(redis, prefix, before, field, EVIL[field])
    corrupt = metric(reader, 'edge_cache_requests_total{result="corrupt",tier="redis"')
    status, headers = ask(reader, name)
    assert status == 200
    assert headers["x-edge-cache"] == "miss"
    assert "set-cookie" not in headers
    assert headers["x-edge-provider"] == "openai"
    assert metric(reader, 'edge_cache_requests_total{result="corrupt",tier="redis"') == corrupt + 1
    # What was asked again is known by now, and told from memory.
    for _ in range(3):
        status, headers = ask(reader, name)
        assert (status, headers["x-edge-cache"], headers["x-edge-provider"]) == (200, "memory", "openai")
        assert "set-cookie" not in headers
    saved = httpx2.get(f"{reader.url}/admin/api/savings", headers={"x-api-key": KEYS["admin"][0]}).text
    assert "e+" not in saved
