"""The configurations that cases are played under: an edge each, since what one case leaves behind must not meet another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.harness import providers

__all__ = ["LIMITED", "PAIRED", "RESTING", "SETUPS", "Setup", "key", "understood"]

Urls = dict[str, str]
LOG = {"log": {"level": "info", "format": "json"}}
ALONE = {"breaker": {"failures": 1_000_000}, "retries": 0}
"""What one case has an upstream do says nothing to the next: no breaker opens, and no budget of retries is used up. Where a
tree does not know these settings, `understood` leaves them out."""
QUICK = {
    **ALONE,
    "stream_keepalive_s": 0,
    "connect_s": 2,
    "first_content_s": 0.6,
    "attempt_s": 0.6,
    "idle_s": 0.6,
    "total_s": 5,
}
PATIENT = {
    **ALONE,
    "connect_s": 2,
    "first_content_s": 30,
    "attempt_s": 30,
    "idle_s": 30,
    "total_s": 40,
    "stream_keepalive_s": 0,
}


PAIRED = {
    "duo": ("a/first", "b/second"),
    "duo-anthropic": ("a-anthropic/first", "b-anthropic/second"),
    "over": ("a-anthropic/first", "b/second"),
    "back": ("a/first", "b-anthropic/second"),
}
RESTING = tuple(
    f"{form}{stream}-{status}"
    for form in ("chat", "messages", "chat-over", "messages-back", "responses")
    for stream in ("", "-stream")
    for status in ("429", "503", "advice")
)
"""Cases in which an upstream asks to be left alone, by what they are named after. A key rests for one model, so each of these
has models of its own, and aliases of them."""


def understood(config: dict[str, Any], resilience: frozenset[str]) -> dict[str, Any]:
    """A configuration for a tree that knows these settings of ``resilience``."""
    known = {name: value for name, value in config["resilience"].items() if name in resilience}
    return config | {"resilience": known}


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
TENANTS: dict[str, dict[str, Any]] = {
    "a": {},
    "a2": {"tenant": "a"},
    "b": {},
    "uncached": {"cache": "off"},
    "strict": {"cache": "deterministic"},
}
LIMITED = ("lane", "again", "anthropic", "stream", "refused")
"""Cases of limits have a key each, since what one has used up another would miss."""


def plain(urls: Urls) -> dict[str, Any]:
    """Neither keys nor a cache, and clocks that do not matter."""
    own = both(urls)
    planned = {"headers": {"x-sim-plan": "early"}, "models": []}
    own["early"] = {**own["openai"], **planned}
    own["keyless"] = {"dialect": "openai", "base_url": f"{urls['openai']}/v1", "models": [], "auth": "none"}
    own["azure"] = {**own["openai"], "models": [], "auth": "api-key", "query": {"api-version": "preview"}}
    own["relay"] = {**own["anthropic"], "models": [], "auth": "bearer", "headers": {"anthropic-version": "2026-10-21"}}
    own["picky"] = {**own["anthropic"], "models": [], "drop_betas": ["context-*"], "drop_headers": ["anthropic-user-*"]}
    own["priced"] = {**own["openai"], "models": [], "prices": {"*": {"input": 2, "output": 5, "request": 0.01}}}
    own["down"] = {"dialect": "openai", "base_url": f"{urls['down']}/v1", "models": []}
    return {"providers": own, "models": ALIASES, "resilience": PATIENT, "telemetry": LOG}


def small(urls: Urls) -> dict[str, Any]:
    """Little room."""
    return plain(urls) | {"server": {"max_body_bytes": 3000, "max_in_flight": 3}, "translation": {"strict": True}}


def quick(urls: Urls) -> dict[str, Any]:
    """Two upstreams, ``a`` and ``b``, of each dialect, several ways one after the other, and short clocks."""
    own = both(urls)
    for name in ("a", "b", "down"):
        for suffix, dialect in (("", "openai"), ("-anthropic", "anthropic")):
            own[name + suffix] = {"dialect": dialect, "base_url": f"{urls[name]}/v1", "models": []}
    pairs: dict[str, tuple[str, ...]] = {
        **PAIRED,
        "gone": ("down/first", "b/second"),
        "thrice": ("a/first", "a/second", "b/third"),
    }
    for name, to in PAIRED.items():
        pairs |= {f"{name}-{case}": tuple(f"{each}-{case}" for each in to) for case in RESTING}
    models: dict[str, Any] = {
        name: {"strategy": "failover", "upstreams": [{"to": each} for each in to]} for name, to in pairs.items()
    }
    models["first"] = {"upstreams": [{"to": "a/first"}], "fallbacks": ["second", "third"]}
    models["second"] = {"upstreams": [{"to": "down/second"}]}
    models["third"] = {"upstreams": [{"to": "b/third"}]}
    return {"providers": own, "models": models, "resilience": QUICK, "telemetry": LOG}


def alive(urls: Urls) -> dict[str, Any]:
    """Keep-alives come soon, and all other clocks late."""
    return quick(urls) | {"resilience": {**PATIENT, "stream_keepalive_s": 0.2}}


def keyed(urls: Urls) -> dict[str, Any]:
    """Keys of all kinds; no cache."""
    each: dict[str, Any] = {"narrow": {"models": ["smart", "claude-*"]}, "theirs": {"tenant": "theirs"}}
    each |= {f"often-{name}": {"requests_per_minute": 2} for name in LIMITED}
    each |= {f"many-{name}": {"concurrency": 1} for name in LIMITED}
    return plain(urls) | {"auth": keys(**each)}


def cached(urls: Urls) -> dict[str, Any]:
    """Everything is kept in memory, for several tenants."""
    made = quick(urls) | {"auth": keys(**TENANTS), "cache": {"mode": "all"}, "resilience": PATIENT}
    made["models"] = ALIASES | made["models"] | {"fresh": {**ALIASES["smart"], "cache": "off"}}
    return made


def redis(urls: Urls) -> dict[str, Any]:
    """What is kept is kept in Redis alone."""
    store = {"url": urls["redis"], "timeout_ms": 5000}
    return cached(urls) | {"cache": {"mode": "all", "memory": {"max_bytes": 0}, "redis": store}}


def tiers(urls: Urls) -> dict[str, Any]:
    """Memory before Redis, one for all tenants."""
    store = {"url": urls["redis"], "timeout_ms": 5000, "hmac_key": "k" * 32}
    return cached(urls) | {"cache": {"mode": "all", "scope": "shared", "redis": store}}


@dataclass(frozen=True)
class Setup:
    """``more`` are upstreams beside ``openai`` and ``anthropic``, whose cases always say what they answer. ``portion``:
    how many cases one edge plays; fewer where most of what they take is waiting.
    """

    config: Callable[[Urls], dict[str, Any]]
    more: tuple[str, ...] = ()
    redis: bool = False
    portion: int = 400


SETUPS: dict[str, Setup] = {
    "plain": Setup(plain),
    "small": Setup(small),
    "quick": Setup(quick, ("a", "b"), portion=40),
    "alive": Setup(alive, ("a", "b")),
    "keyed": Setup(keyed),
    "cached": Setup(cached, ("a", "b")),
    "redis": Setup(redis, ("a", "b"), redis=True),
    "tiers": Setup(tiers, ("a", "b"), redis=True),
}
