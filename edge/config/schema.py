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
    "server": "where and how the edge listens",
    "server.tls": "certificates, to be met by https",
    "auth": "who may use the edge",
    "auth.keys": "the keys of its clients",
    "limits": "how what is used is counted, and where that is kept",
    "auth.tenants": "what the keys of a tenant may use together, by its name",
    "auth.keys[].budget": "the money that the key may spend",
    "auth.tenants.NAME.budget": "the money that they may spend together",
    "models.ALIAS.budget": "the money that all who ask for it may spend together",
    "auth.jwt": "tokens of an issuer, in place of keys",
    "auth.jwt.claims": "what of a token says what",
    "providers": "accounts at vendors, by a name of yours: where requests go",
    "providers.NAME.health": "a request that shows whether it is there, made whether anybody asks or not",
    "providers.NAME.capabilities": "what models can do, in place of the built-in table, by patterns of models",
    "providers.NAME.prices": "your own prices, by patterns of models",
    "providers.NAME.prices.MODEL.long_context": "what is charged instead above a size of input",
    "models": "names of your own for models: aliases",
    "models.ALIAS.upstreams": "what the alias stands for",
    "models.ALIAS.capabilities": "the same for all that the alias stands for, above what their providers say",
    "models.ALIAS.upstreams[].capabilities": "the same for this one, above what the alias says",
    "models.ALIAS.fallbacks": "other aliases to go on with: a list for any failure, or by what it is",
    "models.ALIAS.price": "a price of your own for the alias, with the keys of providers.NAME.prices",
    "cache": "answers that are kept and shared",
    "pii": "personal data and secrets in what is asked and answered",
    "pii.custom": "what else is found",
    "auth.keys[].pii": "modes of this key's own",
    "auth.keys[].pii.custom": "what else is found for this key",
    "models.ALIAS.pii": "modes of this alias's own",
    "models.ALIAS.pii.custom": "what else is found for this alias",
    "cache.memory": "those in each worker's memory",
    "cache.redis": "those in Redis, shared by all workers and machines",
    "websockets": "connections on which events go both ways: Realtime, and Responses over WebSocket",
    "resilience": "how long is waited, and what for",
    "resilience.breaker": "when an upstream that fails is let alone",
    "resilience.hedge": "a second attempt beside one that is late",
    "translation": "between the two APIs",
    "responses": "conversations for providers that keep none",
    "telemetry": "what is told of the service",
    "telemetry.log": "lines on standard error",
    "telemetry.tracing": "spans, for a collector",
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
