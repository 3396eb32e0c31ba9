"""The edge's client and cache of Redis on real servers (`tests.redis_servers`)."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from edge import config
from edge.cache.entry import Entry
from edge.cache.remote import RemoteCache
from edge.hooks import Usage
from edge.redis.client import RedisClient
from edge.telemetry.metrics import Metrics
from tests.harness import WAIT_S
from tests.redis_servers import RedisCluster, RedisServer, stopping
from tests.stalls import Stalls

__all__ = [
    "PATIENT_MS",
    "Lines",
    "RedisCluster",
    "RedisServer",
    "Remote",
    "digest_of",
    "entry",
    "open_sockets",
    "remote",
    "stopping",
]


PATIENT_MS = 5000
"""``timeout_ms`` where an answer has to come, however late a busy machine is: the default, 50 ms, is for a busy edge."""


class Lines:
    """A logger that keeps (seconds, event, fields)."""

    def __init__(self) -> None:
        self.all: list[tuple[float, str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.all.append((time.monotonic(), event, fields))

    warning = info


class Awaitable:
    """A cache whose callers wait: `get`, `lease` and `release` return what is told. The rest is as it is."""

    def __init__(self, cache: RemoteCache) -> None:
        self.called_back = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self.called_back, name)

    async def get(self, digest: bytes, tenant: str) -> Entry | None:
        """None for trouble too."""
        told = Told()
        return await told.by(self.called_back.get(digest, tenant, told))

    async def lease(self, digest: bytes, token: bytes, ttl_ms: int) -> bool | None:
        told = Told()
        return await told.by(self.called_back.lease(digest, token, ttl_ms, told.found))

    async def release(self, digest: bytes, token: bytes) -> bool | None:
        told = Told()
        return await told.by(self.called_back.release(digest, token, told.found))


class Told:
    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def found(self, result: Any) -> None:
        self.future.set_result(result)

    def not_told(self, trouble: Exception) -> None:
        self.future.set_result(None)

    async def by(self, command: Any) -> Any:
        if command is None:
            return None
        try:
            return await self.future
        finally:
            command.cancel()


@dataclass
class Remote:
    """A client and a cache of it, with real metrics."""

    client: RedisClient
    cache: Awaitable
    metrics: Metrics
    log: Lines

    def counts(self, metric: str = "edge_cache_requests_total") -> dict[str, int]:
        """By result."""
        text = self.metrics.render().decode()
        found = re.findall(rf'^{metric}{{result="(\w+)",tier="redis"}} (\S+)$', text, re.MULTILINE)
        return {name: int(float(value)) for name, value in found if float(value)}

    @property
    def writes(self) -> dict[str, int]:
        return self.counts("edge_cache_writes_total")

    async def until(self, condition: Callable[[], Any], timeout_s: float = WAIT_S) -> float:
        """Wait for it; the seconds that took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s: {self.log.all[-5:]}"
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def store(self, digest: bytes, body: bytes, tenant: str = "a", ttl_s: float = 60) -> None:
        """Put, and wait until that is done with."""
        before = sum(self.writes.values())
        self.cache.put(digest, tenant, entry(body, ttl_s))
        await self.until(lambda: sum(self.writes.values()) > before)


def entry(body: bytes, ttl_s: float = 60) -> Entry:
    now = time.time()
    return Entry("chat", body, (), Usage(1, 2), "openai", "gpt-4o", 5, now, now + ttl_s)


def digest_of(name: object) -> bytes:
    return sha256(str(name).encode()).digest()


@asynccontextmanager
async def remote(url: str, *, wait: bool = True, **settings: Any) -> AsyncIterator[Remote]:
    """Started; at the end everything is closed, and nothing is left: no task, no socket."""
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    section = config.Redis(url=config.Secret(url), **settings)
    metrics, log = Metrics(), Lines()
    client = RedisClient(section, metrics, log)
    cache = RemoteCache(client, section, metrics)
    made = Remote(client, Awaitable(cache), metrics, log)
    with Stalls() as stalls:
        began = time.monotonic()
        await client.start()
        took = time.monotonic() - began
    assert took < 2.2 + stalls.granted_s
    try:
        if wait:
            await made.until(lambda: cache.ready)
        yield made
    finally:
        await cache.close()
        await client.close()
    ends = time.monotonic() + WAIT_S
    while (
        not (asyncio.all_tasks() <= tasks and open_sockets() <= sockets)
        or any(node.connections for node in client.nodes)
    ) and time.monotonic() < ends:
        await asyncio.sleep(0.01)
    assert asyncio.all_tasks() <= tasks
    assert open_sockets() <= sockets
    assert all(node.connections == 0 for node in client.nodes)


def open_sockets() -> int:
    """Sockets of this process."""
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += os.readlink(path).startswith("socket:")
    return count
