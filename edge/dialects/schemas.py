"""JSON schemas between two dialects of structured output."""

from __future__ import annotations

from typing import Any

__all__ = ["closed", "has_maps", "is_strict", "object_schema"]

CONSTRAINTS = frozenset(
    (
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("maxItems", "uniqueItems", "minProperties", "maxProperties", "contains", "minContains", "maxContains"),
    )
)
"""Keywords Anthropic's structured outputs refuse (anthropic-sdk-python ``lib/_parse/_transform.py``)."""
MAPS = ("properties", "$defs", "definitions", "patternProperties")
"""Keywords whose value maps names to schemas."""
MAX_DEPTH = 64


def object_schema(schema: Any) -> dict[str, Any]:
    """A tool's schema with what both vendors demand at its root, ``type`` and ``properties``; all else as it was."""
    if not isinstance(schema, dict) or not schema:
        return {"type": "object", "properties": {}}
    if schema.get("type") == "object" and "properties" in schema:
        return schema
    missing: dict[str, Any] = {} if "type" in schema else {"type": "object"}
    if "properties" not in schema and not any(word in schema for word in ("anyOf", "oneOf", "allOf", "$ref")):
        missing["properties"] = {}
    return {**schema, **missing}


def closed(schema: Any, depth: int = 0) -> Any:
    """A schema as ``output_config.format`` takes it: objects closed, what it cannot enforce told in the description.

    https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
    """
    if depth > MAX_DEPTH:
        return schema
    if isinstance(schema, list):
        return [closed(part, depth + 1) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    told = []
    for word, value in schema.items():
        if word in MAPS and isinstance(value, dict):
            result[word] = {name: closed(part, depth + 1) for name, part in value.items()}
        elif word in CONSTRAINTS or (word == "minItems" and value not in (0, 1)):
            told.append(f"{word}: {value}")
        elif word == "oneOf":
            result["anyOf"] = closed(value, depth + 1)
        elif word in ("const", "enum", "default", "examples", "required"):
            result[word] = value
        else:
            result[word] = closed(value, depth + 1) if isinstance(value, dict | list) else value
    if told:
        words = "{" + ", ".join(told) + "}"
        description = result.get("description")
        result["description"] = f"{description}\n\n{words}" if isinstance(description, str) else words
    if result.get("type") == "object" or "properties" in result:
        result["additionalProperties"] = False
    return result


def is_strict(schema: Any, depth: int = 0) -> bool:
    """Whether OpenAI takes a schema as ``strict``: every object closed, and all of its properties required.

    https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas
    """
    if depth > MAX_DEPTH:
        return False
    if isinstance(schema, list):
        return all(is_strict(part, depth + 1) for part in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties")
        names = set(properties) if isinstance(properties, dict) else set()
        required = schema.get("required")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            return False
        if schema.get("additionalProperties") is not False or names != set(required):
            return False
    return all(
        all(is_strict(part, depth + 1) for part in value.values())
        if word in MAPS and isinstance(value, dict)
        else word in ("const", "enum", "default", "examples") or is_strict(value, depth + 1)
        for word, value in schema.items()
    )


def has_maps(schema: Any, depth: int = 0) -> bool:
    """Whether a schema has objects with keys of any name, which ``output_config.format`` cannot describe."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(schema, list):
        return any(has_maps(part, depth + 1) for part in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("additionalProperties", False) is not False or "patternProperties" in schema:
        return True
    return any(
        any(has_maps(part, depth + 1) for part in value.values())
        if word in MAPS and isinstance(value, dict)
        else word not in ("const", "enum", "default", "examples") and has_maps(value, depth + 1)
        for word, value in schema.items()
    )
