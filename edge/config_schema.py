"""The JSON Schema of the configuration, for editors."""

from __future__ import annotations

from typing import Any

import msgspec

from edge.config import Config, Secret

__all__ = ["json_schema"]


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
    return _with_references(schema)  # type: ignore[no-any-return]


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
