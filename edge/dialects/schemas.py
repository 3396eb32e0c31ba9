"""JSON schemas between two dialects of structured output."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from edge.dialects.models import load

__all__ = ["closed", "fits", "has_maps", "is_recursive", "is_strict", "object_schema"]

FORMATS = frozenset(load().schemas["anthropic"].formats)
"""What ``format`` of a string may be in Anthropic's structured outputs."""
STRICT = frozenset(load().schemas["openai"].words)
STRICT_FORMATS = frozenset(load().schemas["openai"].formats)
"""Keywords that OpenAI takes in a ``strict`` schema, and what ``format`` may be in one."""
NOTES = frozenset(("$schema", "$id", "$anchor", "$comment", "id"))
"""Keywords that say nothing about a value."""
ADVICE = frozenset(("default", "examples", "example", "deprecated", "readOnly", "writeOnly"))
"""Keywords that say something of a value, but forbid none."""
MAPS = ("properties", "$defs", "definitions", "patternProperties")
"""Keywords whose value maps names to schemas."""
COMBINED = ("anyOf", "oneOf", "allOf")
PLAIN = (str, int, float, Decimal, bool, type(None))
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


def closed(schema: dict[str, Any], lost: dict[str, None]) -> dict[str, Any]:
    """A schema as ``output_config.format`` takes it: objects closed, what it cannot enforce told in the description.
    The keywords that are told only are entered into `lost`.

    It does what the SDK does with a schema of Python's types (anthropic-sdk-python ``lib/_parse/_transform.py``),
    and takes those that the SDK refuses: types in a list, or none.
    https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
    """
    result: dict[str, Any] = _Closing(lost).schema(schema)
    return result


def fits(schema: dict[str, Any]) -> bool:
    """Whether Anthropic can enforce a schema as it stands."""
    closing = _Closing({})
    closing.schema(schema)
    return not closing.lost and not closing.altered and not is_recursive(schema)


class _Closing:
    """``altered``: an object was open, or one alternative of several may not be the only one any more."""

    __slots__ = ("altered", "lost")

    def __init__(self, lost: dict[str, None]) -> None:
        self.lost = lost
        self.altered = False

    def schema(self, schema: Any, depth: int = 0) -> Any:
        if not isinstance(schema, dict) or depth > MAX_DEPTH:
            return schema
        rest = {word: value for word, value in schema.items() if word not in NOTES}
        result: dict[str, Any] = {}
        for word in ("$defs", "definitions"):
            if isinstance(rest.get(word), dict):
                result[word] = {name: self.schema(part, depth + 1) for name, part in rest.pop(word).items()}
        if isinstance(rest.get("$ref"), str):
            # Beside a reference nothing else is taken.
            self._lose(word for word in rest if word not in ("$ref", "description", "title"))
            return {**result, "$ref": rest["$ref"]}
        kind = self._literals(rest, result)
        if not self._combined(rest, result, depth) and kind is not None:
            result["type"] = kind
        for word in ("description", "title"):
            if word in rest:
                result[word] = rest.pop(word)
        kinds = kind if isinstance(kind, list) else [kind]
        if "object" in kinds:
            self._object(rest, result, depth)
        elif kind is None and "required" in rest:
            result["required"] = rest.pop("required")  # an alternative that adds to what is beside it
        if "array" in kinds and isinstance(rest.get("items"), dict):
            result["items"] = self.schema(rest.pop("items"), depth + 1)
        for word, of, taken in (("format", "string", FORMATS), ("minItems", "array", (0, 1))):
            if of in kinds and word in rest:
                value = rest.pop(word)
                kept = result if isinstance(value, int | str) and value in taken else rest
                kept[word] = value
        if rest:
            self._lose(rest)
            words = "{" + ", ".join(f"{word}: {value}" for word, value in rest.items()) + "}"
            said = result.get("description")
            result["description"] = f"{said}\n\n{words}" if isinstance(said, str) else words
        return result

    def _literals(self, rest: dict[str, Any], result: dict[str, Any]) -> Any:
        """``enum`` and ``const``, which need no type beside them. Returns the type of a schema without."""
        kind = rest.pop("type", None)
        values = rest.get("enum")
        if isinstance(values, list) and values and all(isinstance(value, PLAIN) for value in values):
            result["enum"] = rest.pop("enum")
        if "const" in rest and isinstance(rest["const"], PLAIN):
            result["const"] = rest.pop("const")
        if "enum" in result or "const" in result:
            return None
        if kind is None and "properties" in rest and not any(word in rest for word in COMBINED):
            return "object"
        return kind

    def _combined(self, rest: dict[str, Any], result: dict[str, Any], depth: int) -> bool:
        """The first of ``anyOf``, ``oneOf`` and ``allOf``, of which one may stand for a schema's type."""
        for word in COMBINED:
            if isinstance(rest.get(word), list):
                parts = [self.schema(part, depth + 1) for part in rest.pop(word)]
                result["allOf" if word == "allOf" else "anyOf"] = parts
                self.altered = self.altered or word == "oneOf"
                return True
        return False

    def _object(self, rest: dict[str, Any], result: dict[str, Any], depth: int) -> None:
        properties = rest.pop("properties", None)
        properties = properties if isinstance(properties, dict) else {}
        result["properties"] = {name: self.schema(part, depth + 1) for name, part in properties.items()}
        more = rest.pop("additionalProperties", None)
        result["additionalProperties"] = False
        self.altered = self.altered or more is not False
        if more not in (None, False):
            self._lose(("additionalProperties",))
        if "required" in rest:
            result["required"] = rest.pop("required")

    def _lose(self, words: Iterable[str]) -> None:
        self.lost.update(dict.fromkeys(word for word in words if word not in ADVICE))


def is_recursive(schema: dict[str, Any]) -> bool:
    """Whether a schema refers, over however many references, to one that it is in: no grammar can be made of it."""
    refers: dict[str, set[str]] = {
        "#": _references({k: v for k, v in schema.items() if k not in ("$defs", "definitions")})
    }
    for word in ("$defs", "definitions"):
        named = schema.get(word)
        for name, part in named.items() if isinstance(named, dict) else ():
            refers[f"#/{word}/{name}"] = _references(part)
    if any("#" in found for found in refers.values()):
        return True
    reached: dict[str, set[str]] = {}
    for name in refers:
        seen, waiting = set(), list(refers[name])
        while waiting:
            other = waiting.pop()
            if other not in seen:
                seen.add(other)
                waiting += refers.get(other, ())
        reached[name] = seen
    return any(name in seen for name, seen in reached.items())


def _references(node: Any) -> set[str]:
    """What the ``$ref`` of a schema's parts name."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                found.add(part["$ref"])
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found


def is_strict(schema: Any, depth: int = 0) -> bool:
    """Whether OpenAI takes a schema as ``strict``: every object closed, all of its properties required, and no keyword
    that it refuses.

    https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas
    """
    if depth > MAX_DEPTH or not isinstance(schema, dict) or not schema.keys() <= STRICT:
        return False
    if depth == 0 and (schema.get("type") != "object" or "anyOf" in schema):
        return False
    if schema.get("format") is not None and schema["format"] not in STRICT_FORMATS:
        return False
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties")
        names = set(properties) if isinstance(properties, dict) else set()
        required = schema.get("required")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            return False
        if schema.get("additionalProperties") is not False or names != set(required):
            return False
    parts = [part for word in MAPS if isinstance(schema.get(word), dict) for part in schema[word].values()]
    parts += [schema["items"]] if "items" in schema else []
    parts += schema["anyOf"] if isinstance(schema.get("anyOf"), list) else []
    return all(is_strict(part, depth + 1) for part in parts)


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
