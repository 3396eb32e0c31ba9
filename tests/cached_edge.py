"""Edges that cache, with keys of several tenants, and what their metrics say."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx2

from edge.guard.auth import new_key
from tests.harness import WAIT_S, Edge, providers

KEYS = {name: new_key(name) for name in ("a", "b", "slow", "narrow", "admin")}


def cached(
    url: str,
    redis: dict[str, Any] | None,
    *,
    keys: dict[str, dict] | None = None,
    memory: dict | None = None,
    workers: int = 1,
) -> dict:
    """The configuration of one that caches everything; `keys` has more settings of some keys. It logs no requests."""
    more = {"admin": {"admin": True}, **(keys or {})}
    return {
        "server": {"workers": workers},
        "auth": {"keys": [{"id": name, "digests": [KEYS[name][1]], **more.get(name, {})} for name in KEYS]},
        "providers": providers(url, max_connections=300),
        "cache": {"mode": "all", "redis": redis, "memory": memory or {}},
        "telemetry": {"log": {"level": "warning"}},
    }


def said(name: str) -> str:
    """A prompt whose answer repeats `name`."""
    return f"say nonce:{name}"


def metric(edge: Edge, name: str) -> float:
    """The sum of all series whose text begins so, over all workers."""
    text = httpx2.get(f"{edge.url}/metrics", headers={"x-api-key": KEYS["admin"][0]}).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(re.escape(name), line))


def wait_for_redis(edge: Edge, workers: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while metric(edge, "edge_redis_ready") < workers:
        assert time.monotonic() < deadline, "the workers do not find Redis"
        time.sleep(0.05)
