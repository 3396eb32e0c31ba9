"""The configurations that cases are played under: an edge each, since what one case leaves behind must not meet another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.harness import providers

__all__ = ["SETUPS", "Setup", "key"]

Urls = dict[str, str]
LOG = {"log": {"level": "info", "format": "json"}}
QUICK = {"connect_s": 2, "first_content_s": 0.8, "attempt_s": 0.8, "idle_s": 0.8, "total_s": 1.2}
PATIENT = {"connect_s": 2, "first_content_s": 30, "attempt_s": 30, "idle_s": 30, "total_s": 40, "stream_keepalive_s": 0}


def key(name: str) -> str:
    """A key that is the same in every play."""
    return f"sk-replay-{name}-{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def keys(**more: dict[str, Any]) -> dict[str, Any]:
    """The section ``auth``: an administrator's key, one that may do everything else, and those of `more`."""
    each = {"admin": {"admin": True}, "any": {}, **more}
    digests = {name: f"sha256:{hashlib.sha256(key(name).encode()).hexdigest()}" for name in each}
    return {"keys": [{"id": name, "digests": [digests[name]], **settings} for name, settings in each.items()]}


def both(urls: Urls, **more: Any) -> dict[str, Any]:
    """A provider of each dialect, at an upstream each."""
    made = providers("", **more)
    made["openai"]["base_url"] = f"{urls['openai']}/v1"
    made["anthropic"]["base_url"] = f"{urls['anthropic']}/v1"
    made["openai"]["priced_as"], made["anthropic"]["priced_as"] = "openai", "anthropic"
    return made


ALIASES: dict[str, Any] = {
    "smart": {"upstreams": [{"to": "openai/gpt-4o"}]},
    "wise": {"upstreams": [{"to": "anthropic/claude-sonnet-5"}]},
}


def to(provider: str, fault: str) -> dict[str, str]:
    return {"to": f"{provider}/sim-{fault}"}


def plain(urls: Urls) -> dict[str, Any]:
    """No keys and no cache; ``oa`` and ``an`` are patterns' other ends for translated faults."""
    more = both(urls)
    return {
        "providers": more,
        "models": ALIASES,
        "resilience": PATIENT,
        "telemetry": LOG,
    }


@dataclass(frozen=True)
class Setup:
    """``more`` are upstreams beside ``openai`` and ``anthropic``, whose cases always say what they answer."""

    config: Callable[[Urls], dict[str, Any]]
    more: tuple[str, ...] = ()


SETUPS: dict[str, Setup] = {
    "plain": Setup(plain),
}
