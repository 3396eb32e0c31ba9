"""Schemas of structured outputs: what an API cannot enforce is told to the model, and named.

The golden values are those of Anthropic's own SDK (``transform_schema``), which does the same for its users.
"""

from __future__ import annotations

import copy
import json

import pytest
from anthropic import transform_schema

from edge.dialects.schemas import closed, fits, has_maps, is_recursive, is_strict
from edge.errors import InvalidRequest
from tests.unit.translating import USER, chat, messages

FIELD = {
    "type": "object",
    "required": ["n", "k"],
    "properties": {
        "n": {"type": "integer", "minimum": 1, "maximum": 5},
        "k": {"oneOf": [{"const": "a"}, {"type": "string", "pattern": "^(?=.*x).{2,9}$"}]},
        "tags": {
            "type": "array",
            "minItems": 2,
            "maxItems": 3,
            "uniqueItems": True,
            "items": {"type": "string", "format": "idn-email"},
        },
        "minimum": {"type": "number"},
    },
}
OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}
NODE = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}

# A schema, and the keywords that are lost.
GOLDEN = [
    (FIELD, ["minimum", "maximum", "pattern", "format", "maxItems", "uniqueItems", "minItems"]),
    ({"type": "string", "minLength": 1, "maxLength": 9, "description": "a name", "title": "Name"}, ["minLength", "maxLength"]),
    ({"type": "string", "format": "date-time"}, []),
    ({"type": "string", "format": "regex"}, ["format"]),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 1}, []),
    ({"type": "array", "minItems": 0}, []),
    ({"type": "array", "prefixItems": [{"type": "string"}]}, ["prefixItems"]),
    ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 5}, ["exclusiveMinimum", "multipleOf"]),
    ({"type": "string", "enum": ["a", "b"]}, []),
    ({"enum": ["a", None, 1]}, []),
    ({"type": "object", "enum": [{"a": 1}]}, ["enum"]),
    ({"type": "integer", "const": 5, "description": "five"}, []),
    ({"type": "string", "default": "x"}, []),
    ({"type": "object", "properties": {"properties": {"type": "string"}, "oneOf": {"type": "null"}}}, []),
    ({"type": "object", "minProperties": 1}, ["minProperties"]),
    ({"type": "object", "properties": {"a": {"not": {"type": "null"}, "type": "string"}}}, ["not"]),
    ({"anyOf": [{"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}}, {"type": "null"}]}, ["maxLength"]),
    ({"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}], "description": "d"}, []),
    ({"$defs": {"d": {"type": "integer", "maximum": 9}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/d"}}}, ["maximum"]),
    ({"$ref": "#/$defs/d", "$defs": {"d": {"type": "object", "properties": {"a": {"type": "string"}}}}}, []),
    ({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer", "minimum": 0}}}}}, ["minimum"]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "lost"), GOLDEN)
def test_a_schema_is_closed_as_by_the_sdk_and_the_loss_is_known(schema, lost):
    found: dict[str, None] = {}
    original = copy.deepcopy(schema)
    assert closed(schema, found) == transform_schema(copy.deepcopy(schema))
    assert list(found) == lost
    assert schema == original


@pytest.mark.parametrize(
    ("schema", "expected", "lost"),
    [
        ({"type": ["string", "null"], "format": "uri", "maxLength": 5}, {"type": ["string", "null"], "format": "uri", "description": "{maxLength: 5}"}, ["maxLength"]),
        ({"type": ["object", "null"], "properties": {"a": {"type": "string"}}}, {"type": ["object", "null"], "properties": {"a": {"type": "string"}}, "additionalProperties": False}, []),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}, "additionalProperties": False}, []),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "null"}, {"type": "null"}, []),
        ({"definitions": {"a": {"type": "string", "pattern": "x"}}, "$ref": "#/definitions/a"}, {"definitions": {"a": {"type": "string", "description": "{pattern: x}"}}, "$ref": "#/definitions/a"}, ["pattern"]),
        ({"$ref": "#/$defs/a", "minLength": 1, "description": "d"}, {"$ref": "#/$defs/a"}, ["minLength"]),
        ({"type": "object", "additionalProperties": {"type": "string"}}, OBJECT, ["additionalProperties"]),
        ({"type": "string", "description": 5}, {"type": "string", "description": 5}, []),
        ({"type": "array", "items": True}, {"type": "array", "description": "{items: True}"}, ["items"]),
    ],
)  # fmt: skip
def test_what_the_sdk_refuses_is_made_the_best_of(schema, expected, lost):
    found: dict[str, None] = {}
    assert closed(schema, found) == expected
    assert list(found) == lost


def test_the_loss_is_named_and_in_strict_mode_refused():
    wanted = {"type": "json_schema", "json_schema": {"name": "out", "strict": True, "schema": FIELD}}
    request, result = messages("claude-sonnet-5-5", response_format=wanted)
    assert request["output_config"]["format"] == {
        "type": "json_schema",
        "schema": transform_schema(copy.deepcopy(FIELD)),
    }
    assert result.dropped == tuple(f"response_format.{word}" for word in GOLDEN[0][1])
    with pytest.raises(InvalidRequest, match=r"'response_format\.minimum'"):
        messages("claude-sonnet-5-5", strict=True, response_format=wanted)


def test_schemas_of_tools_are_left_alone():
    tool = {"type": "function", "function": {"name": "f", "parameters": FIELD}}
    request, result = messages("claude-sonnet-5-5", tools=[tool])
    assert request["tools"] == [{"name": "f", "input_schema": FIELD}]
    assert result.dropped == ()
    tool["function"]["strict"] = True
    request, result = messages("claude-sonnet-5-5", tools=[tool])
    assert request["tools"] == [{"name": "f", "input_schema": FIELD}]
    assert result.dropped == ("tools.function.strict",)


@pytest.mark.parametrize(
    ("schema", "recursive"),
    [
        ({"$ref": "#/$defs/node", "$defs": {"node": NODE}}, True),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, True),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, True),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "null"}}, "$ref": "#/$defs/a"}, False),
        ({"type": "object", "properties": {"$ref": {"type": "string"}}}, False),
        (FIELD, False),
    ],
)
def test_a_schema_that_is_in_itself_is_known(schema, recursive):
    assert is_recursive(schema) is recursive


@pytest.mark.parametrize(("model", "choice"), [("claude-sonnet-4-5", "tool"), ("claude-fable-5-1", "auto")])
def test_what_no_grammar_can_enforce_is_asked_for_by_a_tool(model, choice):
    schema = {"type": "object", "properties": {"node": {"$ref": "#/$defs/node"}}, "$defs": {"node": NODE}}
    wanted = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema}}
    request, result = messages(model, response_format=wanted)
    assert "format" not in request.get("output_config", {})
    assert request["tools"][-1]["input_schema"] == schema
    assert request["tool_choice"]["type"] == choice
    assert result.context.output_tool == request["tools"][-1]["name"]


def test_what_fits_goes_as_strict():
    good = {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"], "enum": ["x", None]}},
        "additionalProperties": False,
    }
    assert fits(good)
    assert fits({**good, "$defs": {"d": {"type": "string", "format": "date"}}})
    for bad in (
        {**good, "additionalProperties": True},
        {"type": "object", "properties": {}},
        {**good, "properties": {"a": {"oneOf": [{"type": "null"}]}}},
        {**good, "properties": {"a": {"type": "string", "pattern": "x"}}},
        {**good, "properties": {"a": {"$ref": "#"}}},
    ):
        assert not fits(bad)


STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    "change",
    [
        *({"required": []}, {"additionalProperties": True}, {"type": "array"}, {"anyOf": [{"type": "null"}]}),
        *({"properties": {"a": {"type": "string", word: value}}} for word, value in (("minLength", 1), ("format", "uri"), ("default", "x"), ("oneOf", []), ("format", 5))),
        *({"properties": {"a": {"type": "array", "items": inner}}} for inner in ({"type": "object"}, True, {"allOf": []})),
        *({"$defs": {"d": {"type": "array", "uniqueItems": True}}}, {"patternProperties": {}}, {"not": {}}),
    ],
)  # fmt: skip
def test_openai_is_promised_nothing_of_what_it_refuses(change):
    """An optional key, an open object or a keyword it does not know: OpenAI takes the schema, but not as strict."""
    assert is_strict(STRICT)
    schema = {**STRICT, **change}
    assert not is_strict(schema)
    request, _ = chat(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert request["response_format"]["json_schema"] == {"name": "output", "schema": schema, "strict": False}


@pytest.mark.parametrize(
    "part",
    [
        *(
            {"type": "string", "pattern": "^a$", "format": "date"},
            {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
        ),
        *({"type": "array", "items": STRICT, "minItems": 2, "maxItems": 3}, {"anyOf": [STRICT, {"type": "null"}]}),
        *({"$ref": "#/$defs/d"}, {"enum": ["a"], "description": "d", "title": "t"}, {"const": 1}),
    ],
)
def test_and_all_of_what_it_takes(part):
    assert is_strict({**STRICT, "properties": {"a": part}, "$defs": {"d": STRICT}})


def test_objects_with_keys_of_any_name_are_known():
    assert has_maps({"type": "object", "additionalProperties": {"type": "string"}})
    assert has_maps({"type": "array", "items": {"type": "object", "patternProperties": {"x": {}}}})
    assert not has_maps(closed(FIELD, {}))


def test_hostile_schemas_are_no_trouble():
    deep: dict = {}
    for _ in range(150):
        deep = {"type": "object", "properties": {"a": deep}, "items": [deep] if not deep else {}}
    for schema in (
        deep,
        {"type": {}},
        {"enum": []},
        {"anyOf": []},
        {"anyOf": 5, "type": "null"},
        {"properties": []},
        {"$ref": 5},
    ):
        wanted = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema}}
        body = {"model": "m", "messages": [USER], "response_format": wanted}
        assert json.dumps(body)
        messages("claude-sonnet-5-5", response_format=wanted)
        chat(output_config={"format": wanted["json_schema"] | {"type": "json_schema"}})
