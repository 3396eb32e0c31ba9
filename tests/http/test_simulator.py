"""The simulator by itself."""

from __future__ import annotations

import json
import time

import httpx2
import pytest

from tests.harness import Client


def post(simulator, path, **body):
    return httpx2.post(simulator.url + path, json=body)


SAID = [{"role": "user", "content": "hi"}]


def test_answers_are_deterministic_and_depend_on_the_prompt(simulator):
    one = post(simulator, "/v1/chat/completions", model="m", messages=SAID).content
    assert post(simulator, "/v1/chat/completions", model="m", messages=SAID).content == one
    other = post(simulator, "/v1/chat/completions", model="m", messages=[{"role": "user", "content": "ho"}]).content
    assert other != one


def test_usage_adds_up_in_both_forms(simulator):
    whole = post(simulator, "/v1/chat/completions", model="sim-words-7", messages=SAID).json()
    assert whole["usage"]["completion_tokens"] == 7
    stream = post(
        simulator,
        "/v1/chat/completions",
        model="sim-words-7",
        messages=SAID,
        stream=True,
        stream_options={"include_usage": True},
    ).text
    events = [json.loads(event[6:]) for event in stream.split("\n\n") if event.startswith("data: {")]
    assert events[-1]["usage"] == whole["usage"]
    message = post(simulator, "/v1/messages", model="sim-words-7", max_tokens=100, messages=SAID).json()
    assert message["usage"]["output_tokens"] == 7
    counted = post(simulator, "/v1/messages/count_tokens", model="sim", messages=SAID).json()
    assert counted["input_tokens"] == message["usage"]["input_tokens"]


def test_the_token_limit_cuts_the_answer(simulator):
    got = post(simulator, "/v1/chat/completions", model="sim-words-9", messages=SAID, max_tokens=4).json()
    assert got["choices"][0]["finish_reason"] == "length"
    assert got["usage"]["completion_tokens"] == 4
    got = post(simulator, "/v1/messages", model="sim-words-9", messages=SAID, max_tokens=4).json()
    assert got["stop_reason"] == "max_tokens"


def test_tools_are_called_and_their_results_answered(simulator):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    call = post(simulator, "/v1/chat/completions", model="m", messages=SAID, tools=tools).json()["choices"][0]
    assert call["finish_reason"] == "tool_calls"
    arguments = json.loads(call["message"]["tool_calls"][0]["function"]["arguments"])
    assert set(arguments) == {"city", "days"}
    turn = [
        *SAID,
        call["message"],
        {"role": "tool", "tool_call_id": call["message"]["tool_calls"][0]["id"], "content": "sun"},
    ]
    assert post(simulator, "/v1/chat/completions", model="m", messages=turn, tools=tools).json()["choices"][0][
        "message"
    ]["content"]
    tools = [{"name": "weather", "input_schema": parameters}]
    got = post(simulator, "/v1/messages", model="m", max_tokens=9, messages=SAID, tools=tools).json()
    assert got["stop_reason"] == "tool_use"
    assert set(got["content"][0]["input"]) == {"city", "days"}


def test_pace_is_kept(simulator):
    begun = time.monotonic()
    post(simulator, "/v1/chat/completions", model="sim-words-18-tps-100-ttft-200", messages=SAID, stream=True)
    # 18 words, a role, a finish: 20 events at 10 ms after 200 ms, and the end.
    assert time.monotonic() - begun == pytest.approx(0.4, abs=0.15)


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503, 529])
def test_error_statuses_have_their_dialects_form(simulator, status):
    got = post(simulator, "/v1/chat/completions", model=f"sim-{status}", messages=SAID)
    assert got.status_code == status
    assert set(got.json()["error"]) == {"message", "type", "param", "code"}
    got = post(simulator, "/v1/messages", model=f"sim-{status}", messages=SAID, max_tokens=1)
    assert got.status_code == status
    assert got.json()["type"] == "error"


def test_the_ledger_holds_requests_and_departures(simulator):
    before = simulator.count()
    with Client(int(simulator.url.rpartition(":")[2])) as client:
        client.post(
            "/v1/chat/completions?x=1", b'{"model":"sim-words-50-tps-20","messages":[],"stream":true}', "x-mark: 7"
        )
        client.head()
        client.read_until(b"delta")
    entry = simulator.entry(before, lambda entry: entry["left"])
    assert entry["path"] == "/v1/chat/completions?x=1"
    assert entry["complete"] is True
    assert ["x-mark", "7"] in entry["headers"]
    assert json.loads(entry["body"])["stream"] is True
    assert entry["left"] == "fin"
    assert 0 < entry["events"] < 50
    assert entry["generated"] > 0
    with Client(int(simulator.url.rpartition(":")[2])) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\ncontent-length: 10\r\n\r\n{")
        time.sleep(0.05)
        client.reset()
    entry = simulator.entry(before + 1, lambda entry: entry["left"])
    assert (entry["left"], entry["complete"]) == ("rst", False)
