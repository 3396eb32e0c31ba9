"""Thinking that nobody has signed does not go to an Anthropic model, and nothing else is touched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dialects import thinking
from edge.dialects.crossing import Crossing
from edge.dialects.models import anthropic_model
from tests.unit.calls import asked

SIGNED = b'{"type":"thinking","thinking":"","signature":"c2ln"}'
UNSIGNED = b'{"type":"thinking","thinking":"hm","signature":""}'
TEXT = b'{"type":"text","text":"a \\"thinking\\" \\"signature\\":\\"\\" 1.10"}'
USE = b'{"type":"tool_use","id":"t","name":"f","input":{"n":1e3}}'


def body(*contents: bytes, model: bytes = b"claude-sonnet-5") -> bytes:
    said = b",".join(
        b' {"role":"user","content":"hi"}, {"role": "assistant", "content": %b}' % each for each in contents
    )
    return (
        b'{"thinking":{"type":"enabled","budget_tokens":2048},"messages":[%b ],"max_tokens":5,"model":"%b","x":[1,2.0,1e3]}'
        % (said, model)
    )


def sent(given: bytes, model: str = "", path: str = "/v1/messages") -> bytes:
    call = asked(given, path)
    model = model or call.payload.model
    return Crossing(call, model, anthropic_model(model)).body


UNTOUCHED = [
    *(b'"hi"', b"[%b]" % TEXT, b"[%b,%b]" % (SIGNED, USE), b'[{"type":"redacted_thinking","data":"eA=="},%b]' % USE),
    *(
        b"[ %b , %b ]" % (SIGNED, TEXT),
        b'[{"type":"tool_use","id":"t","name":"f","input":{"thinking":"","signature":""}}]',
    ),
    *(b'[{"type":"tool_use","id":"t","name":"f","input":{"type":"thinking"}}]', b"[1,null,[]]", b"null", b"{}"),
]


@pytest.mark.parametrize("content", UNTOUCHED)
def test_what_is_signed_or_no_thinking_goes_byte_for_byte(content):
    assert sent(body(content)) == body(content)


@pytest.mark.parametrize(
    "block",
    [
        *(UNSIGNED, b'{"type":"thinking","thinking":"","signature":""}', b'{"type":"thinking","thinking":"hm"}'),
        *(
            b'{"type": "thinking", "thinking": "x", "signature" : ""}',
            b'{"signature":null,"type":"thinking","thinking":"x"}',
        ),
        *(b'{"thinking":"x","type"\n:\t"thinking"}', b'{"type":"thinking","thinking":"x","signature":5}'),
        *(b'{"type":"redacted_thinking","data":""}', b'{"type":"redacted_thinking"}'),
    ],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_what_is_unsigned_stays_here_and_its_neighbours_keep_every_byte(block, path):
    given = body(b"[%b,%b,%b,%b]" % (SIGNED, TEXT, block, USE), b"[%b,%b]" % (block, TEXT), b'"so"')
    assert sent(given, path=path) == body(b"[%b,%b,%b]" % (SIGNED, TEXT, USE), b"[%b]" % TEXT, b'"so"')


def test_a_turn_of_nothing_else_goes_whole():
    got = json.loads(sent(body(b"[%b]" % UNSIGNED, b"[%b,%b]" % (SIGNED, USE))))
    assert [message["role"] for message in got["messages"]] == ["user", "user", "assistant"]


def test_the_models_name_is_spliced_in_beside():
    given = body(b"[%b,%b]" % (UNSIGNED, USE), model=b"smart")
    assert sent(given, "claude-opus-5") == body(b"[%b]" % USE, model=b"claude-opus-5")
    first = b'{"model":"smart",%b' % given[1:].replace(b',"model":"smart"', b"")
    assert json.loads(sent(first, "claude-opus-5")) == json.loads(sent(given, "claude-opus-5"))


def test_another_vendors_model_behind_the_same_api_gets_its_own_thinking_back():
    given = body(b"[%b,%b]" % (UNSIGNED, USE))
    assert sent(given, "deepseek-v4") == body(b"[%b,%b]" % (UNSIGNED, USE), model=b"deepseek-v4")


def test_an_openai_provider_gets_bodies_as_they_came():
    given = b'{"model":"m","messages":[{"role":"assistant","content":[{"type":"thinking","signature":""}]}]}'
    assert sent(given, path="/v1/chat/completions") == given


BLOCKS = st.sampled_from(
    [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "thinking", "thinking": "", "signature": "c2ln"},
        {"type": "thinking", "thinking": "hm"},
        {"type": "redacted_thinking", "data": "eA=="},
        {"type": "text", "text": 'say "thinking"'},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"type": "thinking", "thinking": 1}},
    ]
)


@settings(max_examples=200)
@given(st.lists(st.lists(BLOCKS, max_size=4), max_size=4), st.sampled_from([None, 1]), st.integers(8, 40))
def test_any_conversation_loses_exactly_the_unsigned(contents, indent, size):
    messages = [{"role": "assistant", "content": content} for content in contents]
    expected = []
    for content in contents:
        kept = [each for each in content if each["type"] != "thinking" or each.get("signature")]
        if kept or not content:
            expected.append({"role": "assistant", "content": kept})
    given = json.dumps({"model": "claude-x", "messages": messages, "end": 1.0}, indent=indent).encode()
    whole = thinking.SLICE
    thinking.SLICE = size  # several steps for a short body
    try:
        got = sent(given)
    finally:
        thinking.SLICE = whole
    assert json.loads(got)["messages"] == expected
    assert (got == given) == (expected == messages)
