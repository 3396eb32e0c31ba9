"""What is refused before a provider is asked is refused in the words of the client's own API.

OpenAI's rows are answers of its API (message, ``param`` and ``code``), Anthropic's are messages of its.
"""

from __future__ import annotations

import json

import pytest

from edge.dialects import anthropic, openai
from edge.errors import EdgeError, InvalidRequest
from edge.guard.validate import Reading, check_body
from tests.unit.calls import unread
from tests.unit.translating import TOOL, to_anthropic, to_openai

SAID = [{"role": "user", "content": "hi"}]


def below(name, value, least, kind="integer"):
    message = f"Invalid '{name}': {kind} below minimum value. Expected a value >= {least}, but got {value} instead."
    return {name: value}, f"{kind}_below_min_value", message


def above(name, value, most, kind="integer"):
    message = f"Invalid '{name}': {kind} above maximum value. Expected a value <= {most}, but got {value} instead."
    return {name: value}, f"{kind}_above_max_value", message


def kind(name, value, expected, got):
    return {name: value}, "invalid_type", f"Invalid type for '{name}': expected {expected}, but got {got} instead."


OPENAI = [
    *(below("max_completion_tokens", 0, 1), below("max_completion_tokens", -1, 1), below("max_tokens", 0, 1)),
    *(below("n", 0, 1), above("n", 2, 1), above("temperature", 3, 2, "decimal"), above("top_p", 1.5, 1, "decimal")),
    *(below("temperature", -1, 0, "decimal"), below("top_p", -0.1, 0, "decimal")),
    *(kind("max_completion_tokens", "5", "an integer", "a string"), kind("n", True, "an integer", "a boolean")),
    *(kind("max_tokens", 1.5, "an integer", "a decimal number"), kind("max_tokens", {}, "an integer", "an object")),
    *(kind("temperature", "hot", "a decimal", "a string"), kind("top_p", [1], "a decimal", "an array")),
    *(kind("temperature", True, "a decimal", "a boolean"), kind("user", {"a": 1}, "a string", "an object")),
    *(
        kind("tools", "none", "an array of objects", "a string"),
        kind("messages", "ping", "an array of objects", "a string"),
    ),
    kind("stop", 5, "one of a string or array of strings", "an integer"),
    kind("stop", [5], "one of a string or array of strings", "an array"),
    (
        {"messages": []},
        "empty_array",
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
    ),
    ({"messages": None}, "missing_required_parameter", "Missing required parameter: 'messages'."),
    (
        {"reasoning_effort": "bogus"},
        "invalid_value",
        "Invalid value: 'bogus'. Supported values are: 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and 'max'.",
    ),
    (
        {"messages": [{"role": "bogus", "content": "x"}]},
        "invalid_value",
        "Invalid value: 'bogus'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.",
    ),
    (
        {"tools": [TOOL], "tool_choice": "bogus"},
        "invalid_value",
        "Invalid value: 'bogus'. Supported values are: 'none', 'auto', and 'required'.",
    ),
    kind("model", 7, "a string", "an integer"),
    kind("stream", "yes", "a boolean", "a string"),
]
ANTHROPIC = [
    ({"max_tokens": None}, "max_tokens: Field required"),
    ({"max_tokens": "5"}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": 1.5}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": -1}, "max_tokens: must be greater than or equal to 0"),
    ({"temperature": 2}, "temperature: range: 0..1"),
    ({"temperature": -1}, "temperature: range: 0..1"),
    ({"temperature": "x"}, "temperature: Input should be a valid number"),
    ({"top_p": 1.5}, "top_p: range: 0..1"),
    ({"top_p": False}, "top_p: Input should be a valid number"),
    ({"stop_sequences": "ZZ"}, "stop_sequences: Input should be a valid array"),
    ({"stop_sequences": ["a", 1]}, "stop_sequences.1: Input should be a valid string"),
    ({"stop_sequences": list("abcde")}, "stop_sequences: List should have at most 4 items after validation, not 5"),
    ({"messages": []}, "messages: at least one message is required"),
    ({"messages": None}, "messages: Field required"),
    ({"messages": "x"}, "messages: Input should be a valid array"),
    ({"messages": [7]}, "messages.0: Input should be an object"),
    ({"messages": [{"content": "x"}]}, "messages.0.role: Field required"),
    (
        {"messages": [{"role": "bogus", "content": "x"}]},
        'messages: Unexpected role "bogus". Allowed roles are "user" or "assistant"',
    ),
    ({"tools": "x"}, "tools: Input should be a valid array"),
    ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Input should be a valid integer"),
    ({"model": 7}, "model: Input should be a valid string"),
    ({"stream": "yes"}, "stream: Input should be a valid boolean"),
]


def refusal(path: str, body: dict, translate, model: str) -> EdgeError:
    """The error of the checks of a body, or else of its translation."""
    said = json.dumps(body).encode()
    with pytest.raises(InvalidRequest) as caught:
        check_body(unread(path), Reading(said))
        translate(said, model)
    return caught.value


@pytest.mark.parametrize(("change", "code", "message"), OPENAI)
def test_openais_clients_are_told_as_by_openai(change, code, message):
    body = {"model": "m", "messages": SAID, **change}
    error = refusal("/v1/chat/completions", body, to_anthropic, "claude-sonnet-4-5")
    *_, param = change
    param = "messages[0].role" if "bogus" in str(change.get("messages")) else param
    told = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    assert json.loads(openai.error_body(error)) == {"error": told}
    assert (error.status, error.kind) == (400, "client_invalid")


@pytest.mark.parametrize(("change", "message"), ANTHROPIC)
def test_anthropics_clients_are_told_as_by_anthropic(change, message):
    body = {"model": "m", "max_tokens": 5, "messages": SAID, **change}
    error = refusal("/v1/messages", body, to_openai, "gpt-4o")
    told = json.loads(anthropic.error_body(error, "req"))
    assert told == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": message},
        "request_id": "req",
    }
    assert (error.status, error.kind) == (400, "client_invalid")


def test_whole_numbers_may_be_spelled_as_fractions():
    for spelled in (b"64.0", b"64", b"6.4e1"):
        body = b'{"model":"m","max_tokens":%b,"messages":[{"role":"user","content":"hi"}]}' % spelled
        assert json.loads(to_openai(body, "gpt-4o").body)["max_completion_tokens"] == 64
        assert json.loads(to_anthropic(body, "claude-sonnet-4-5").body)["max_tokens"] == 64


def test_a_number_of_any_length_is_told_in_short():
    for digits in (b"-" + b"9" * 300, b"-9e999", b"-0." + b"1" * 300):
        body = b'{"model":"m","temperature":%b,"messages":[{"role":"user","content":"hi"}]}' % digits
        with pytest.raises(InvalidRequest) as caught:
            to_anthropic(body, "claude-sonnet-4-5")
        assert caught.value.code == "decimal_below_min_value"
        assert len(caught.value.message) < 250


def test_the_edges_of_the_ranges_are_inside():
    for change in (
        {"max_completion_tokens": 1},
        {"n": 1},
        {"temperature": 2},
        {"temperature": 0},
        {"top_p": 1},
        {"top_p": 0},
    ):
        assert to_anthropic(json.dumps({"model": "m", "messages": SAID, **change}).encode(), "claude-3-haiku")
    for change in (
        {"max_tokens": 0},
        {"max_tokens": 1},
        {"temperature": 1},
        {"top_p": 0},
        {"stop_sequences": list("abcd")},
    ):
        body = {"model": "m", "max_tokens": 5, "messages": SAID, **change}
        assert to_openai(json.dumps(body).encode(), "gpt-4o")
