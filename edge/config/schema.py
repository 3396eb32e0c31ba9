"""The JSON Schema of the configuration, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from edge.config.capabilities import Settings
from edge.config.model import Config, Secret
from edge.config.words import inner_of

__all__ = ["json_schema"]

SECTIONS = {
    "server": "how the edge listens, and how much it accepts",
    "server.tls": "certificates for https",
    "auth": "who may use the edge",
    "auth.keys": "the keys of its clients",
    "limits": "how usage is counted, and where it is stored",
    "auth.tenants": "limits for all keys of a tenant together, by its name",
    "auth.keys[].budget": "the money that the key may spend",
    "auth.tenants.NAME.budget": "the money that all keys of the tenant may spend together",
    "models.ALIAS.budget": "the money that all requests that name the alias may spend together",
    "auth.jwt": "JSON Web Tokens of an issuer, in place of keys",
    "auth.jwt.claims": "which claim of a token holds what",
    "providers": "accounts at vendors, under names that you choose",
    "providers.NAME.health": "a regular health check of the provider",
    "providers.NAME.capabilities": "what models can do, in place of the built-in table, by model patterns",
    "providers.NAME.prices": "your own prices, by model patterns",
    "providers.NAME.prices.MODEL.long_context": "prices that apply above a number of input tokens",
    "models": "aliases: model names that you choose",
    "models.ALIAS.upstreams": "the models that the alias stands for",
    "models.ALIAS.capabilities": "capabilities of all upstreams of the alias; they override those of the providers",
    "models.ALIAS.upstreams[].capabilities": "capabilities of this upstream; they override those of the alias",
    "models.ALIAS.fallbacks": "aliases to try next: a list for any failure, or lists by the reason",
    "models.ALIAS.price": "your own price for the alias, with the keys of providers.NAME.prices",
    "cache": "which answers the edge stores and shares",
    "pii": "personal data and secrets in requests and answers",
    "pii.custom": "further data to find",
    "auth.keys[].pii": "modes of this key",
    "auth.keys[].pii.custom": "further data to find for this key",
    "models.ALIAS.pii": "modes of this alias",
    "models.ALIAS.pii.custom": "further data to find for this alias",
    "cache.memory": "the cache in each worker's memory",
    "cache.redis": "the cache in Redis, shared by all workers and machines",
    "websockets": "WebSocket connections: Realtime, and Responses over WebSocket",
    "resilience": "how long the edge waits, and how it reacts to failures",
    "resilience.breaker": "when the edge stops calling a failing upstream",
    "resilience.hedge": "a second attempt in parallel with a late one",
    "translation": "translation between the two APIs",
    "responses": "conversations for providers that keep none",
    "telemetry": "what the edge reports",
    "telemetry.log": "log lines on standard error",
    "telemetry.tracing": "spans for a collector",
}
"""What the settings that have others in them are about; of those others, data/settings.json tells."""


def json_schema() -> dict[str, Any]:
    """A JSON Schema (2020-12) that accepts what the configuration's types accept.

    Any value may also be a reference to the environment, so what is no string may be one that looks like ``${NAME}``.
    """

    def hook(kind: type) -> dict[str, Any]:
        if kind is Secret:
            return {"type": "string", "description": "a secret: ${NAME}, or file:/path"}
        raise TypeError(kind)

    schema = msgspec.json.schema(Config, schema_hook=hook)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "LLM Edge Agent configuration"
    told = json.loads((Path(__file__).parent / "data" / "settings.json").read_text(encoding="utf-8")) | SECTIONS
    _describe(schema["$defs"], told)
    return _with_references(schema)  # type: ignore[no-any-return]


def _describe(definitions: dict[str, Any], told: dict[str, str]) -> None:
    """Give every setting its description. A section that is in two places has the first one's."""
    done: set[type[Settings]] = set()
    left: list[tuple[type[Settings], str]] = [(Config, "")]
    for kind, prefix in left:
        if kind in done:
            continue
        done.add(kind)
        for name, part in definitions[kind.__name__]["properties"].items():
            path = prefix + name
            form = part.get("description")
            part["description"] = f"{told[path]} ({form})" if form else told[path]
            inner, below = inner_of(kind, name, path)
            if inner is not None:
                left.append((inner, below))


def _with_references(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_references(part) for part in node]
    if not isinstance(node, dict):
        return node
    node = {key: _with_references(part) for key, part in node.items()}
    if node.get("type") in ("integer", "number", "boolean"):
        kept = {key: node.pop(key) for key in ("default", "description") if key in node}
        return {"anyOf": [node, {"type": "string", "pattern": r"^\$\{"}], **kept}
    return node
