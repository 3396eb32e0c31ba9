"""Requests whose text is measured as it stands: it is what who decodes all of it finds."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.dialects.estimate import decoded_input, estimate_input
from edge.dialects.tokens import decoded_tokens, estimate_tokens
from tests.conftest import BUILDS, load

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": 'Look "it" up,\n then é tell\\it.',
        "parameters": {"type": "object", "properties": {"n": {"type": "integer", "minimum": -5}}, "required": []},
        "strict": True,
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"n": 1}'}}
MESSAGES = [
    {"role": "system", "content": "Be brief.\n"},
    {"role": "user", "content": [{"type": "text", "text": 'é 😀 "so" \\ \u0007'}, {"type": "input_text", "text": ""}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
    {"role": "tool", "tool_call_id": "call_1", "content": "found"},
]
ITEMS = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]},
    {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "found"},
    {"type": "reasoning", "id": "r", "summary": []},
]
USUAL = {
    "chat": {"model": "m", "messages": MESSAGES, "temperature": 0.5, "stream": True, "tools": [TOOL, TOOL]},
    "completion": {"model": "m", "prompt": ["one", "two"], "max_tokens": 3, "functions": [TOOL]},
    "embeddings": {"model": "m", "input": "some text", "response_format": None},
    "responses": {"model": "m", "instructions": "Be brief.", "input": ITEMS, "tools": [], "store": False},
    "rerank": {"model": "m", "query": "what", "documents": ["one", {"text": "two"}]},
    "nothing": {},
}


def check(body: bytes) -> bool:
    """Whether its text is measured as it stands: then it has to be what the decoder finds, in both builds."""
    told = []
    for build in BUILDS:
        try:
            module = load("asked", build)
        except pytest.skip.Exception:
            continue
        request = module.UsualRequest()
        told.append(request.told() if request.read(body) else None)
    assert all(each == told[0] for each in told)
    assert estimate_input("/chat/completions", body) == decoded_input(body), body
    return told[0] is not None


@pytest.mark.parametrize("name", USUAL)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\r\n", "\t: ")])
def test_the_text_of_a_usual_request_is_measured_as_it_stands(name, separators):
    assert check(json.dumps(USUAL[name], separators=separators, ensure_ascii=False).encode())


@pytest.mark.parametrize("text", ["é", "\u07ff", "\u0800", "😀", "a\tb", '"', "\\", "/", "\u0000", ""])
def test_an_escape_counts_as_the_bytes_that_it_stands_for(text):
    body = json.dumps({"messages": [{"role": "user", "content": f"x{text * 9}y"}]}).encode()
    assert check(body)
    assert check(body.replace(b"/", b"\\/"))


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
        {"input": [1, 2, 3]},
        {"input": [True]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        {"text": {"format": {"type": "json_schema"}}},
        {"tools": [{"function": {"parameters": {"maximum": 0.5}}}]},
        {"tools": [{"function": {"parameters": {"maximum": 10**19}}}]},
        {"tools": "none"},
        {"tools": [], "functions": [TOOL]},
        {"tools": [TOOL], "functions": [TOOL]},
        {"messages": [[[[[[[[[["deep"]]]]]]]]]]},
    ],
)
def test_what_is_unusual_is_left_to_the_decoder(change):
    assert not check(json.dumps({**USUAL["chat"], **change}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"text"',
        b"{",
        b'{"messages": "',
        b'{"messages": "a\\ud83d"}',
        b'{"messages": "a\\udc00\\ud83d"}',
        b'{"messages": "\xff"}',
        b'{"messages": "a" "b"}',
        b'{"m\\u0065ssages": "a"}',
        b'{"messages": [{"content": "a",}]}',
        b'{"tools": [{"a": "\\u0061"}]}',
        b'{"tools": [{"a": 1e5}]}',
        b'{"tools": [{"a": -0}]}',
        b'{"messages": "a"} {}',
        b'{"messages": [{"type": "te\\u0078t", "text": "a"}]}',
    ],
)
def test_what_is_broken_or_written_otherwise_is_left_to_the_decoder(body):
    assert not check(body)


WORDS = st.sampled_from(["text", "image_url", "function_call", "file", "é\n", "\\", "", "low"]) | st.text(max_size=8)
NAMES = st.sampled_from(
    ["messages", "content", "text", "type", "role", "input", "tools", "functions", "name", "output", "tool_calls", "id"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(NAMES, JSON, max_size=5), st.booleans())
def test_any_request_comes_to_what_the_decoder_finds(request, escaped):
    check(json.dumps(request, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("build", BUILDS)
def test_brackets_are_counted_wherever_they_stand(build):
    assert load("measure", build).openings(b'[{"a": "[{"}]' * 100) == 400


BILLING = "x-anthropic-billing-header: cc_version=2; cch=eb6c6;"
BLOCKS = [
    {"type": "text", "text": 'é 😀 "so"\n', "cache_control": {"type": "ephemeral"}},
    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
    {"type": "tool_use", "id": "t", "name": "look_up", "input": {"n": [1, True, None], "q": "a b"}},
    {
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "found"}, {"type": "image", "source": {}}],
        "type": "tool_result",
    },
    {"type": "tool_result", "tool_use_id": "t", "content": "found"},
    {"type": "tool_result", "tool_use_id": "t"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
    {"type": "server_tool_use", "name": "web_search", "input": {}},
]
TURN = {"role": "user", "content": BLOCKS}
PLAIN = {"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
CLAUDE = {"name": "look_up", "description": "Look\nup.", "input_schema": {"type": "object", "properties": {}}}
MESSAGES_USUAL = {
    "plain": PLAIN,
    "new tokenizer": {**PLAIN, "model": "claude-opus-4-7"},
    "blocks": {**PLAIN, "messages": [TURN, {"role": "assistant", "content": []}, TURN]},
    "system": {**PLAIN, "system": "Be brief.\n"},
    "system blocks": {**PLAIN, "system": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]},
    "no system": {**PLAIN, "system": None},
    "billing alone": {**PLAIN, "system": BILLING},
    "billing and more": {**PLAIN, "system": f'{BILLING}\nBe "brief".'},
    "billing block": {**PLAIN, "system": [{"type": "text", "text": BILLING}, {"type": "text", "text": "Be brief."}]},
    "billing line": {**PLAIN, "system": [{"type": "text", "text": f"{BILLING}\nBe\nbrief."}]},
    "billing elsewhere": {**PLAIN, "system": [{"type": "text", "text": "a"}, {"type": "text", "text": BILLING}]},
    "billing said": {**PLAIN, "messages": [{"role": "user", "content": BILLING}]},
    "tools": {**PLAIN, "tools": [CLAUDE, CLAUDE], "thinking": {"type": "enabled", "budget_tokens": 1024}},
    "no tools": {**PLAIN, "tools": [], "thinking": {"type": "disabled"}},
    "no text": {**PLAIN, "system": [{"type": "text", "text": None}]},
    "no messages": {"model": "m", "messages": []},
}


def check_messages(body: bytes) -> bool:
    """As `check`, of a messages request."""
    told = []
    for build in BUILDS:
        try:
            module = load("asked_messages", build)
        except pytest.skip.Exception:
            continue
        request = module.UsualMessages()
        told.append(request.told() if request.read(body) else None)
    assert all(each == told[0] for each in told)
    if told[0] is not None:
        assert estimate_tokens(body) == decoded_tokens(json.loads(body)), body
    return told[0] is not None


@pytest.mark.parametrize("name", MESSAGES_USUAL)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\r\n", "\t: ")])
def test_the_text_of_a_usual_messages_request_is_measured_as_it_stands(name, separators):
    assert check_messages(json.dumps(MESSAGES_USUAL[name], separators=separators, ensure_ascii=False).encode())


@pytest.mark.parametrize("build", BUILDS)
def test_nothing_of_one_request_is_left_to_the_next(build):
    reader = load("asked_messages", build).UsualMessages()
    alone = {name: load("asked_messages", build).UsualMessages() for name in MESSAGES_USUAL}
    for name, request in [*MESSAGES_USUAL.items(), *reversed(MESSAGES_USUAL.items())]:
        body = json.dumps(request).encode()
        assert reader.read(body)
        assert alone[name].read(body)
        assert reader.told() == alone[name].told(), name


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "a"}}]}]},
        {"messages": [{"role": "user", "content": ["a"]}]},
        {"messages": [{"role": "user", "content": {"type": "text", "text": "a"}}]},
        {"messages": "a"},
        {"system": {"type": "text", "text": "a"}},
        {"system": [{"type": "other", "text": BILLING}]},
        {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
        {"model": None},
        {"model": "é"},
        {"thinking": "enabled"},
        {"tools": [{"name": "a", "input_schema": {"maximum": 0.5}}]},
    ],
)
def test_what_is_unusual_in_a_messages_request_is_left_to_the_decoder(change):
    assert not check_messages(json.dumps({**PLAIN, **change}).encode())


ASKED = st.fixed_dictionaries(
    {"model": st.sampled_from(["claude-opus-4-7", "claude-3-haiku"])},
    optional={
        "messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.deferred(lambda: SAID)})),
        "system": st.deferred(lambda: SAID),
        "tools": st.lists(JSON, max_size=3),
        "thinking": JSON,
    },
)
TEXTS = st.text(max_size=8) | st.sampled_from([BILLING, f"{BILLING}\nmore", f"{BILLING}\n", "\\n", ""])
BLOCK = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["text", "thinking", "tool_use", "tool_result", "image", "compaction", "server_tool_use"]
        ),
        "text": TEXTS,
        "thinking": TEXTS,
        "data": TEXTS,
        "name": TEXTS,
        "input": JSON,
        "content": st.deferred(lambda: SAID),
    },
)
SAID = TEXTS | st.lists(BLOCK, max_size=3)


@given(ASKED, st.booleans())
def test_any_messages_request_comes_to_what_the_decoder_finds(request, escaped):
    check_messages(json.dumps(request, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))


def changed(body: bytes, chance: random.Random) -> bytes:
    """With one or two bytes more, fewer or others."""
    for _ in range(chance.randrange(1, 3)):
        at = chance.randrange(len(body))
        piece = chance.choice(
            [b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b"e", b"\\u", b" ", b"\xc3", b"n"]
        )
        body = body[:at] + piece + body[at + chance.randrange(2) :]
    return body


@pytest.mark.parametrize("seed", range(20))
def test_a_request_that_is_broken_anywhere_is_not_taken_for_another(seed):
    chance = random.Random(seed)
    for _ in range(20):
        check(changed(json.dumps(chance.choice(list(USUAL.values()))).encode(), chance))
        check_messages(changed(json.dumps(chance.choice(list(MESSAGES_USUAL.values()))).encode(), chance))
