"""Two requests have one key exactly if they must have one answer."""

from __future__ import annotations

import copy
import json
import random

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from edge.cache.key import WITHOUT, Keys, decode_body, identity
from edge.cache.policy import allows, mode_for, plan_for, ttl_of
from edge.config import Provider
from edge.errors import InvalidRequest, InvalidValue
from tests.unit.calls import asked

OURS = identity("tenant", "a", False, [])
REQUEST = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "u"}}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "required": ["a"]}}}],
    "tool_choice": "auto",
    "temperature": 0.701,
    "max_tokens": 100,
    "stop": ["\n", "END"],
    "response_format": {"type": "json_object"},
    "reasoning_effort": "low",
    "logit_bias": {"50256": -100},
    "n": 2,
    "x_future": {"deep": [1, [2, {"a": None}]]},
}


def key(body, ours=OURS, **more):
    call = asked(body, **more)
    return Keys().key(call, ours, decode_body(call.payload))


def shuffled(value, rng):
    if isinstance(value, dict):
        items = [(name, shuffled(part, rng)) for name, part in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(part, rng) for part in value] if isinstance(value, list) else value


def places(value, path=()):
    """Every place in a document, containers included."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*path, name))


def changed(body, path, rng):
    """The document with another value at a place."""
    body = copy.deepcopy(body)
    holder = body
    for name in path[:-1]:
        holder = holder[name]
    old = holder[path[-1]]
    options = [None, True, False, 0, 7, -1.5, "", "other", [], {}, [old], {"a": old}]
    if isinstance(old, str):
        options += [old + " ", old.upper() + "x"]
    if isinstance(old, (int, float)) and not isinstance(old, bool):
        options += [old + 1, old * 1.0000001 + 1e-9]
    if isinstance(old, list) and len(old) > 1:
        options += [old[::-1], old[1:], [*old, old[0]]]
    if isinstance(old, dict) and old:
        options += [{**old, "added": None}, dict(list(old.items())[1:])]
    holder[path[-1]] = rng.choice([option for option in options if option != old or type(option) is not type(old)])
    return body


PLACES = [path for path in places(REQUEST) if path and path != ("model",)]


@settings(max_examples=400)
@given(st.sampled_from(PLACES), st.integers(0, 1 << 30))
def test_any_other_value_anywhere_is_another_key(path, seed):
    other = changed(REQUEST, path, random.Random(seed))
    try:
        found = key(other)
    except InvalidValue:
        reject()  # of a type that is refused, so that there is nothing to store
    assert found != key(REQUEST)


@settings(max_examples=100)
@given(st.integers(0, 1 << 30))
def test_no_order_of_fields_is(seed):
    assert key(shuffled(REQUEST, random.Random(seed))) == key(REQUEST)


def test_no_spelling_is():
    spaced = json.dumps(REQUEST, indent=3, ensure_ascii=True).replace("Hi", "\\u0048i").encode()
    assert key(spaced) == key(REQUEST)
    assert key({**REQUEST, "max_tokens": 100.0}) == key(REQUEST)
    assert key({**REQUEST, "max_tokens": True}) != key({**REQUEST, "max_tokens": 1})


@pytest.mark.parametrize("field", sorted(WITHOUT))
def test_what_concerns_the_delivery_is_outside(field):
    value = True if field == "stream" else {"a": "b"}
    assert key({**REQUEST, field: value}) == key(REQUEST)
    # But not one of that name further inside.
    inside = copy.deepcopy(REQUEST)
    inside["x_future"][field] = value
    assert key(inside) != key(REQUEST)


def test_exactly_these_are_outside():
    assert {"stream", "stream_options", "user", "metadata", "safety_identifier"} == WITHOUT


def test_what_is_around_the_body_is_inside():
    keys = {
        key(REQUEST),
        key(REQUEST, headers=[("openai-beta", "a=1")]),
        key(REQUEST, headers=[("anthropic-beta", "a=1")]),
        key(REQUEST, headers=[("anthropic-beta", "a=1"), ("anthropic-beta", "b")]),
        key(REQUEST, headers=[("anthropic-beta", "a=1,b")]),
        key(REQUEST, headers=[("anthropic-version", "2023-06-01")]),
        key(REQUEST, headers=[("anthropic-version", "2026-10-21")]),
        key(REQUEST, headers=[("anthropic-workspace-id", "wrkspc_a")]),
        key(REQUEST, headers=[("anthropic-workspace-id", "wrkspc_b")]),
        key(REQUEST, headers=[("anthropic-future", "1")]),
        key(REQUEST, query=b"beta=true"),
        key(REQUEST, path="/v1/messages"),
    }
    assert len(keys) == 12
    assert key(REQUEST, path="/openai/v1/chat/completions") == key(REQUEST)
    assert key(REQUEST, headers=[("x-other", "1")]) == key(REQUEST)


def test_who_asks_and_who_would_be_asked_is_inside():
    here = Provider(dialect="openai", base_url="http://127.0.0.1:1/v1")
    there = Provider(dialect="openai", base_url="http://127.0.0.1:2/v1")
    dressed = Provider(dialect="openai", base_url="http://127.0.0.1:1/v1", headers={"openai-project": "p"})
    picky = Provider(dialect="openai", base_url="http://127.0.0.1:1/v1", drop_betas=["a*"])
    told = [
        identity("tenant", "a", False, [(here, "m")]),
        identity("tenant", "a", False, [(picky, "m")]),
        identity("tenant", "b", False, [(here, "m")]),
        identity("key", "a", False, [(here, "m")]),
        identity("shared", "", False, [(here, "m")]),
        identity("tenant", "a", True, [(here, "m")]),
        identity("tenant", "a", False, [(there, "m")]),
        identity("tenant", "a", False, [(dressed, "m")]),
        identity("tenant", "a", False, [(here, "n")]),
        identity("tenant", "a", False, [(here, "m"), (there, "m")]),
        identity("tenant", "a", False, [(there, "m"), (here, "m")]),
    ]
    assert len({key(REQUEST, one) for one in told}) == len(told)


@pytest.mark.parametrize(
    ("api", "mode", "body", "allowed"),
    [
        ("chat", "off", {"seed": 1}, False),
        ("chat", "all", {}, True),
        ("chat", "deterministic", {}, False),
        ("chat", "deterministic", {"temperature": 0}, True),
        ("chat", "deterministic", {"temperature": 0.0}, True),
        ("chat", "deterministic", {"temperature": False}, False),
        ("chat", "deterministic", {"temperature": 0.01}, False),
        ("chat", "deterministic", {"seed": 0}, True),
        ("chat", "deterministic", {"seed": None}, False),
        ("chat", "all", {"store": True}, False),
        ("embeddings", "deterministic", {}, True),
        ("count_tokens", "deterministic", {}, True),
        ("responses", "all", {}, False),
        ("responses", "all", {"store": None}, False),
        ("responses", "all", {"store": False}, True),
        ("responses", "all", {"store": False, "previous_response_id": "r"}, False),
        ("responses", "all", {"store": False, "background": True}, False),
        ("other", "all", {}, False),
        ("messages", "all", {}, True),
        ("messages", "all", {"thread": None, "container": None}, True),
        ("messages", "all", {"thread": {"type": "create"}}, False),
        ("messages", "all", {"thread": {"type": "continue", "previous_message_id": "m"}}, False),
        ("messages", "deterministic", {"temperature": 0, "container": "c"}, False),
        ("messages", "all", {"container": {"skills": []}}, False),
        ("messages", "all", {"fallback_credit_token": "t"}, False),
        ("messages", "all", {"diagnostics": {"previous_message_id": None}}, False),
        ("messages", "all", {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, False),
        ("messages", "all", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, True),
        ("count_tokens", "all", {"container": "c"}, False),
        ("chat", "all", {"conversation": "c"}, False),
        ("chat", "all", {"thread_id": "t"}, False),
        ("chat", "all", {"context_id": "c"}, False),
        ("chat", "all", {"context_management": {}}, True),
        ("completions", "all", {"previous_interaction_id": "i"}, False),
        ("responses", "all", {"store": False, "conversation": {"id": "c"}}, False),
        ("responses", "all", {"store": False, "tools": [{"type": "code_interpreter", "container": "c"}]}, False),
        ("responses", "all", {"store": False, "tools": [{"type": "function", "name": "f"}]}, True),
    ],
)
def test_which_answers_may_stand_for_the_next(api, mode, body, allowed):
    assert allows(api, mode, body) is allowed


def test_the_stricter_override_counts():
    assert mode_for("all") == "all"
    assert mode_for("all", None, "off") == "off"
    assert mode_for("off", "all", None) == "all"
    assert mode_for("all", "deterministic", "all") == "deterministic"


def test_directives():
    def plan(**headers):
        call = asked({**REQUEST, "stream": True, "stream_options": {"include_usage": True}}, headers=headers.items())
        return plan_for(call, "all", decode_body(call.payload))

    plain = plan()
    assert (plain.look, plain.store, plain.only, plain.ttl_s) == (True, True, False, None)
    assert plain.choices == 2
    assert plan(**{"cache-control": "max-age=3, No-Store"}) is None
    assert plan(**{"cache-control": "no-cache"}).look is False
    assert plan(**{"cache-control": "only-if-cached"}).only is True
    assert plan(**{"x-edge-cache-ttl": "0"}).store is False
    assert plan(**{"x-edge-cache-ttl": "9"}).ttl_s == 9


@pytest.mark.parametrize("value", [b"", b"-1", b"1.5", b"1e3", b"x", b"99999999999", "٣".encode()])
def test_a_ttl_is_a_whole_number(value):
    with pytest.raises(InvalidRequest):
        ttl_of(value)


@pytest.mark.parametrize(
    "tail",
    [
        b'"tools":[{"type":"function","function":{"name":"a","name":"b"}}]',
        b'"x":{"a":{"b":1,"c":2,"\\u0062":3}}',
        b'"x":1e99999999999999999999',
        b'"x":[1e-99999999999999999999]',
    ],
)
def test_a_body_that_has_no_single_meaning_has_no_key(tail):
    assert decode_body(asked(b'{"model":"m","messages":[{"role":"user","content":"x"}],' + tail + b"}").payload) is None


def test_the_same_key_in_two_objects_is_none_twice():
    body = {"model": "m", "tools": [{"a": 1}, {"a": 1}], "x": {"a": {"a": 1}}}
    assert decode_body(asked(body).payload) == body


BILLING = "x-anthropic-billing-header: cc_version=2.1.220.134; cc_entrypoint=cli; cch="


def code(system, path="/v1/messages"):
    """The key of a request of Claude Code's."""
    return key({"model": "m", "system": system, "messages": [{"role": "user", "content": "x"}]}, path=path)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_claude_codes_billing_line_is_outside_the_key(path):
    told = {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}

    def blocks(number, *more):
        return [{"type": "text", "text": f"{BILLING}{number};"}, told, *more]

    assert code(blocks(1), path) == code(blocks(2), path) == code([told], path)
    assert code(f"{BILLING}1;\nYou are", path) == code(f"{BILLING}2;\nYou are", path) == code("You are", path)
    assert code(blocks(1, told), path) != code(blocks(1), path)
    assert code([told, blocks(1)[0]], path) != code([told, blocks(2)[0]], path)
    assert code(f"You are\n{BILLING}1;", path) != code(f"You are\n{BILLING}2;", path)


def test_a_system_field_of_another_dialect_is_like_any_other():
    path = "/v1/chat/completions"
    assert code(f"{BILLING}1;", path) != code(f"{BILLING}2;", path)
