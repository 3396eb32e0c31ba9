"""Numbers cross as they are spelled, whichever way, whole and in streams."""

from __future__ import annotations

import json

import pytest

from edge.dialects.translation import Context, decode, encode
from edge.dialects.translators import TRANSLATORS
from edge.errors import InvalidJSON
from tests.unit.translating import NOW, run, sse, to_anthropic, to_openai

SPELLINGS = (
    "[1,2.0,1e3,1E+3,1.10,0.1000000000000000055,12345678901234567890123,-0.0,1E400,5e-324,100000000000000000000.00]"
)
INPUT = '{"x":' + SPELLINGS + "}"
SCHEMA = '{"type":"object","properties":{"x":{"enum":' + SPELLINGS + "}}}"
CALL = '{"id":"c1","type":"function","function":{"name":"f","arguments":' + json.dumps(INPUT) + "}}"
USE = '{"type":"tool_use","id":"c1","name":"f","input":' + INPUT + "}"


def test_a_request_of_openais():
    body = (
        '{"model":"m","max_tokens":5,"temperature":0.70,"messages":[{"role":"user","content":"hi"},'
        '{"role":"assistant","content":null,"tool_calls":['
        + CALL
        + ']},{"role":"tool","tool_call_id":"c1","content":"1e3"}],'
        '"tools":[{"type":"function","function":{"name":"f","parameters":' + SCHEMA + "}}]}"
    )
    sent = to_anthropic(body.encode(), "claude-sonnet-4-5").body.decode()
    assert f'"input":{INPUT}' in sent
    assert f'"input_schema":{SCHEMA}' in sent
    assert '"temperature":0.70' in sent


def test_a_request_of_anthropics():
    body = (
        '{"model":"m","max_tokens":5,"temperature":1e-1,"messages":[{"role":"user","content":"hi"},'
        '{"role":"assistant","content":[' + USE + "]}],"
        '"tools":[{"name":"f","input_schema":' + SCHEMA + "}]}"
    )
    sent = to_openai(body.encode(), "gpt-4o").body.decode()
    assert json.dumps(INPUT) in sent
    assert f'"parameters":{SCHEMA}' in sent
    assert '"temperature":1e-1' in sent


def test_an_answer_of_anthropics():
    body = '{"id":"m","type":"message","role":"assistant","model":"m","content":[' + USE + '],"stop_reason":"tool_use"}'
    assert json.dumps(INPUT) in TRANSLATORS["chat", "messages"].answer(body.encode(), Context(), NOW).decode()


def test_an_answer_of_openais():
    choice = (
        '{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":['
        + CALL
        + "]}}"
    )
    answer = TRANSLATORS["messages", "chat"].answer(('{"id":"c","choices":[' + choice + "]}").encode(), Context(), NOW)
    assert f'"input":{INPUT}' in answer.decode()


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_streams(size):
    pieces = [INPUT[at : at + size] for at in range(0, len(INPUT), size)]
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": each}}
        for each in pieces
    ]
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    message = {"id": "m", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": use},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    out = run(TRANSLATORS["chat", "messages"].stream(Context(), NOW), sse(*events)).decode()
    parts = [json.loads(line[6:]) for line in out.split("\n") if line.startswith("data: {")]
    calls = [call for part in parts for choice in part["choices"] for call in choice["delta"].get("tool_calls", ())]
    assert "".join(call["function"]["arguments"] for call in calls) == INPUT
    chunks = [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]
    chunks += [{"index": 0, "function": {"arguments": each}} for each in pieces]
    data = [{"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [each]}}]} for each in chunks]
    data.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    out = run(TRANSLATORS["messages", "chat"].stream(Context(), NOW), sse(*data)).decode()
    parts = [json.loads(line[6:]) for line in out.split("\n") if line.startswith("data: {")]
    assert (
        "".join(part["delta"].get("partial_json", "") for part in parts if part["type"] == "content_block_delta")
        == INPUT
    )


def test_numbers_nobody_can_tell_are_refused():
    for number in (b"1e99999999999999999999", b"1" * 5000 + b".0e" + b"9" * 30):
        with pytest.raises(InvalidJSON):
            decode(b'{"a":' + number + b"}")
    assert encode(decode(b'{"a":[1.0,-1E-7,1e3]}')) == b'{"a":[1.0,-1E-7,1e3]}'
