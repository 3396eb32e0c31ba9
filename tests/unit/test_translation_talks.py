"""Conversations as clients have them, with what one of the APIs has and another does not: their order, their ends."""

from __future__ import annotations

import json

import pytest

from edge.dialects.translators import TRANSLATORS
from edge.errors import InvalidValue
from tests.unit.responding import asked
from tests.unit.responses_back import sent
from tests.unit.translating import CUSTOM, TOOL, USER, call, chat, messages

SONNET = "claude-sonnet-4-5"
FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


def use(number):
    return {"type": "tool_use", "id": f"c{number}", "name": "look", "input": {}}


def result(number, **fields):
    return {"type": "tool_result", "tool_use_id": f"c{number}", **fields}


def called(number, arguments="{}"):
    return {"type": "function_call", "call_id": f"c{number}", "name": "look", "arguments": arguments}


def output(number, said="r"):
    return {"type": "function_call_output", "call_id": f"c{number}", "output": said}


def text(said):
    return {"type": "text", "text": said}


@pytest.mark.parametrize("last", ["assistant", "user"])
def test_a_turn_that_is_to_be_gone_on_with_is_without_a_budget_of_thinking(last):
    said = [USER, {"role": "assistant", "content": "{"}, USER][: 2 if last == "assistant" else 3]
    request, translated = messages(SONNET, messages=said, reasoning_effort="high")
    assert ("thinking" in request) is (last == "user")
    assert translated.dropped == (("reasoning_effort",) if last == "assistant" else ())


def test_a_choice_that_names_none_of_the_tools_is_a_400_whatever_the_client_speaks():
    named = {"type": "function", "function": {"name": "other"}}
    for ask in (messages, lambda **fields: asked("chat", **fields)):
        with pytest.raises(InvalidValue) as caught:
            ask(tools=[TOOL], tool_choice=named)
        assert caught.value.param == "tool_choice"
        with pytest.raises(InvalidValue) as caught:
            ask(functions=[TOOL["function"]], function_call={"name": "other"})
        assert caught.value.param == "function_call"
    for ask in (chat, lambda **fields: asked("messages", **fields)):
        with pytest.raises(InvalidValue) as caught:
            ask(tools=[CUSTOM], tool_choice={"type": "tool", "name": "other"})
        assert caught.value.param == "tool_choice.name"
    for api, model in (("messages", SONNET), ("chat", "gpt-4o")):
        for tools in ([FUNCTION], None):
            if api == "chat" and tools is None:
                continue
            with pytest.raises(InvalidValue) as caught:
                sent(api, model, tools=tools, tool_choice={"type": "function", "name": "other"})
            assert caught.value.param == "tool_choice"


def test_a_choice_of_a_custom_tool_is_not_that_of_a_function_of_its_name():
    custom = {"type": "custom", "custom": {"name": "look"}}
    request, _ = asked("chat", tools=[custom], tool_choice={"type": "custom", "custom": {"name": "look"}})
    assert request["tool_choice"] == {"type": "custom", "name": "look"}
    with pytest.raises(InvalidValue):
        asked("chat", tools=[custom], tool_choice={"type": "function", "function": {"name": "look"}})


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_call_without_arguments_has_an_empty_object(blank):
    said = [USER, {"role": "assistant", "content": None, "tool_calls": [call("c1", arguments=blank)]}]
    said.append({"role": "tool", "tool_call_id": "c1", "content": "r"})
    assert messages(SONNET, messages=said)[0]["messages"][1]["content"][0]["input"] == {}
    items = [USER, called(1, blank), output(1)]
    assert sent("messages", SONNET, input=items)[0]["messages"][1]["content"][0]["input"] == {}
    request, _ = sent("chat", "gpt-4o", input=items)
    assert request["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_results_come_first_in_their_turn_however_late_they_are():
    turn = {"role": "assistant", "content": None, "tool_calls": [call("c1"), call("c2")]}
    said = [USER, turn, {"role": "tool", "tool_call_id": "c2", "content": "2"}, {"role": "system", "content": "S"}]
    said += [{"role": "tool", "tool_call_id": "c1", "content": "1"}, {"role": "user", "content": "go"}]
    expected = [result(2, content="2"), result(1, content="1"), text("S"), text("go")]
    assert messages(SONNET, messages=said, tools=[TOOL])[0]["messages"][-1] == {"role": "user", "content": expected}
    items = [USER, called(1), called(2), output(2, "2"), {"role": "developer", "content": "S"}, output(1, "1")]
    items.append({"role": "user", "content": "go"})
    request, _ = sent("messages", SONNET, input=items, tools=[FUNCTION])
    assert request["messages"][-1] == {"role": "user", "content": expected}
    request, _ = sent("chat", "gpt-4o", input=items, tools=[FUNCTION])
    assert [message["role"] for message in request["messages"]] == [
        *("user", "assistant", "tool", "tool", "system", "user")
    ]


def test_what_is_said_between_calls_keeps_its_place_where_there_is_one():
    turn = {"role": "assistant", "content": [text("a"), use(1), text("b"), use(2)]}
    said = [USER, turn, {"role": "user", "content": [result(1), result(2, content="")]}]
    request, _ = asked("messages", messages=said, tools=[CUSTOM])
    kinds = [item.get("type", "user") for item in request["input"]]
    assert kinds == ["user", *("message", "function_call") * 2, *("function_call_output",) * 2]
    items = [USER, called(1), {"role": "assistant", "content": "b"}, called(2), output(1), output(2)]
    request, _ = sent("messages", SONNET, input=items)
    assert [block["type"] for block in request["messages"][1]["content"]] == ["tool_use", "text", "tool_use"]
    request, _ = chat(messages=said)  # a message has one text, before its calls
    assert request["messages"][1]["content"] == "ab"


@pytest.mark.parametrize("way", sorted(TRANSLATORS), ids="-".join)
@pytest.mark.parametrize(
    "body",
    [b"", b"<html><h1>Bad gateway</h1></html>", b"[1]", b'{"detail":"x"}', b'{"error":{"message":null}}', b"\xff"],
)
def test_an_error_that_says_nothing_has_the_envelope_of_its_clients_api(way, body):
    status, told = TRANSLATORS[way].error(502, body, "r1")
    answer = json.loads(told)
    assert status == 502
    assert answer["error"]["message"].startswith("The provider answered 502: ")
    assert answer["error"]["type"] == ("api_error" if way[0] == "messages" else "server_error")
    assert "<h1>" not in answer["error"]["message"]


def test_a_failed_result_with_a_picture_says_both():
    picture = {"type": "image", "source": {"type": "url", "url": "https://a.test/b.png"}}
    said = [USER, {"role": "assistant", "content": [use(1)]}]
    said.append({"role": "user", "content": [text("before"), result(1, content=[text("1"), picture], is_error=True)]})
    request, _ = chat(messages=said)
    assert request["messages"][2]["content"] == "Error: 1"
    assert [part["type"] for part in request["messages"][3]["content"]] == ["text", "image_url", "text"]
    request, _ = asked("messages", messages=said)
    assert [part["type"] for part in request["input"][2]["output"]] == ["input_text", "input_text", "input_image"]
    assert request["input"][3]["content"] == "before"
