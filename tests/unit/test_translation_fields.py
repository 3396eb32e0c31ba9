"""What crosses that has another place at the other API, and what is named because it has none."""

from __future__ import annotations

import json

import pytest

from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from edge.errors import MissingParameter
from tests.unit.responding import asked, called, said, thought
from tests.unit.responding import streamed as responses_stream
from tests.unit.responses_back import context, sent, streamed, whole
from tests.unit.translating import CUSTOM, NOW, TOOL, USER, call, chat, events_of, messages, sse

MARK = {"type": "ephemeral", "ttl": "1h"}
BREAK = {"mode": "explicit", "ttl": "12h"}
USED = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]}


def result(content, **more):
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": content, **more}]}


def test_the_mark_of_a_tools_result_is_at_its_last_part():
    said = [USER, USED, result("found", cache_control=MARK)]
    request, dropped = asked("messages", messages=said, tools=[CUSTOM])
    part = {"type": "input_text", "text": "found", "prompt_cache_breakpoint": BREAK}
    assert request["input"][-1] == {"type": "function_call_output", "call_id": "t1", "output": [part]}
    assert dropped == ()
    request, translated = chat("gpt-5.6-terra", messages=said)
    told = [{"type": "text", "text": "found", "prompt_cache_breakpoint": BREAK}]
    assert request["messages"][-1] == {"role": "tool", "tool_call_id": "t1", "content": told}
    assert translated.dropped == ()


def test_a_mark_inside_of_a_tools_result_stays_at_its_part():
    parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    request, _ = chat("gpt-5.6-terra", messages=[USER, USED, result(parts)])
    assert request["messages"][-1]["content"] == [
        {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "text", "text": "b"},
    ]


def test_the_mark_of_a_result_that_says_nothing_is_named():
    said = [USER, USED, result("", cache_control=MARK)]
    assert asked("messages", messages=said)[1] == ("cache_control",)


def test_the_mark_of_what_the_assistant_said_is_carried_or_named():
    content = [{"type": "text", "text": "a", "cache_control": MARK}, *USED["content"]]
    said = [USER, {"role": "assistant", "content": content}, result("ok")]
    request, translated = chat("gpt-5.6-terra", messages=said)
    assert request["messages"][1]["content"] == [{"type": "text", "text": "a", "prompt_cache_breakpoint": BREAK}]
    assert translated.dropped == ()
    assert asked("messages", messages=said)[1] == ("cache_control",)  # items of the assistant's have no place for it
    content = [{**USED["content"][0], "cache_control": MARK}]
    said = [USER, {"role": "assistant", "content": content}, result("ok")]
    assert chat("gpt-5.6-terra", messages=said)[1].dropped == ("cache_control",)
    part = {"type": "text", "text": "a", "prompt_cache_breakpoint": BREAK}
    request, dropped = asked("chat", messages=[USER, {"role": "assistant", "content": [part]}, USER])
    assert (request["input"][1]["content"], dropped) == ("a", ("messages.content.prompt_cache_breakpoint",))


def test_calls_that_a_program_made_are_told_to_be():
    program = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}
    said = [USER, {"role": "assistant", "content": [{**USED["content"][0], "caller": program}]}, result("ok")]
    assert chat(messages=said)[1].dropped == ("messages.content.caller",)
    assert asked("messages", messages=said)[1] == ("messages.content.caller",)
    item = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
    for api, model in (("messages", "claude-sonnet-4-5"), ("chat", "gpt-4o")):
        caller = {"type": "program", "caller_id": "p1"}
        items = [USER, {**item, "caller": caller}, {**output, "caller": {"type": "direct"}}]
        assert sent(api, model, input=items)[1].dropped == ("input.caller",)


@pytest.mark.parametrize("api", ["messages", "chat"])
def test_what_the_history_cites_is_named_and_an_empty_list_of_it_is_not(api):
    cited = {"type": "url_citation", "url": "https://a.test", "title": "A", "start_index": 0, "end_index": 1}
    model = "claude-sonnet-4-5" if api == "messages" else "gpt-4o"
    part = {"type": "output_text", "text": "a", "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    assert sent(api, model, input=[USER, item, USER])[1].dropped == ()
    part["annotations"] = [cited]
    assert sent(api, model, input=[USER, item, USER])[1].dropped == ("input.content.annotations",)
    turn = {"role": "assistant", "content": "a", "annotations": []}
    assert messages(messages=[USER, turn, USER])[1].dropped == ()
    assert asked("chat", messages=[USER, turn, USER])[1] == ()
    turn["annotations"] = [{"type": "url_citation", "url_citation": cited}]
    assert messages(messages=[USER, turn, USER])[1].dropped == ("messages.annotations",)
    assert asked("chat", messages=[USER, turn, USER])[1] == ("messages.annotations",)


def test_what_tools_and_calls_have_beside_is_named():
    tool = {**TOOL, "function": {**TOOL["function"], "examples": ["a"]}, "defer_loading": True}
    told = call("c1") | {"extra_content": {"google": {"thought_signature": "s"}}, "index": 0}
    said = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [told]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    lost = ("messages.tool_calls.extra_content", "tools.defer_loading", "tools.function.examples")
    assert messages(messages=said, tools=[tool])[1].dropped == lost
    assert asked("chat", messages=said, tools=[tool])[1] == lost


def test_the_description_of_a_format_is_named_and_its_schema_is_the_clients():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
        "description": "Own.",
    }
    described = {"name": "out", "description": "What is wanted.", "schema": schema, "strict": True}
    request, context = messages(response_format={"type": "json_schema", "json_schema": described})
    assert request["output_config"]["format"] == {"type": "json_schema", "schema": schema}
    assert context.dropped == ("response_format.description",)
    request, context = sent("messages", "claude-sonnet-4-5", text={"format": {"type": "json_schema", **described}})
    assert request["output_config"]["format"] == {"type": "json_schema", "schema": schema}
    assert context.dropped == ("text.format.description",)


@pytest.mark.parametrize("field", ["name", "schema"])
def test_a_format_for_responses_has_a_name_and_a_schema(field):
    described = {"name": "out", "schema": {"type": "object"}}
    del described[field]
    with pytest.raises(MissingParameter) as caught:
        asked("chat", response_format={"type": "json_schema", "json_schema": described})
    assert caught.value.param == f"response_format.json_schema.{field}"


def test_a_namespace_is_described_with_its_first_tool():
    tools = [{"type": "function", "name": "a", "description": "A."}, {"type": "custom", "name": "b"}]
    space = {"type": "namespace", "name": "n", "description": "Of n.", "tools": tools}
    request, _ = sent("messages", "claude-sonnet-4-5", tools=[space])
    assert [tool.get("description") for tool in request["tools"]] == ["Of n.\n\nA.", None]
    request, _ = sent("chat", "gpt-4o", tools=[{**space, "tools": tools[1:]}])
    assert request["tools"][0]["function"]["description"] == "Of n."


def test_the_skills_of_a_shell_are_told_with_it():
    skill = {"name": "pdf", "path": "/skills/pdf", "description": "Reads PDFs."}
    tool = {"type": "shell", "environment": {"type": "local", "skills": [skill]}}
    request, _ = sent("messages", "claude-sonnet-4-5", tools=[tool])
    assert request["tools"][0]["description"].endswith("\nSkill pdf, in /skills/pdf: Reads PDFs.")


def test_a_search_of_an_index_alone_is_named_where_there_is_none():
    tool = {"type": "web_search", "external_web_access": False}
    assert sent("messages", "claude-sonnet-4-5", tools=[tool])[1].dropped == ("tools.external_web_access",)
    tool["external_web_access"] = True
    assert sent("messages", "claude-sonnet-4-5", tools=[tool])[1].dropped == ()


def test_a_model_that_does_not_reason_by_itself_is_given_a_temperature():
    request, translated = sent("chat", "gpt-5.2", temperature=0.2)
    assert (request["temperature"], translated.dropped) == (0.2, ())
    request, translated = sent("chat", "gpt-5.2", temperature=0.2, reasoning={"effort": "low"})
    assert ("temperature" in request, translated.dropped) == (False, ("temperature",))


def test_a_limit_and_a_tier_are_those_that_chat_completions_have():
    request, translated = sent("chat", "gpt-5.2", max_output_tokens=1_000_000, service_tier="ultrafast")
    assert request["max_completion_tokens"] == 128_000
    assert translated.dropped == ("service_tier",)
    request, translated = sent("chat", "gpt-5.2", service_tier="flex", prompt_cache_retention="24h")
    assert (request["service_tier"], request["prompt_cache_retention"]) == ("flex", "24h")
    assert translated.dropped == ()


def test_a_function_of_old_that_cannot_be_forced_is_named_as_the_client_calls_it():
    functions = [TOOL["function"]]
    _, translated = messages("claude-opus-5-5", functions=functions, function_call={"name": "look"})
    assert translated.dropped == ("function_call",)


def test_a_call_of_old_is_an_item_in_whole_answers_as_in_streams():
    called = {"name": "look", "arguments": '{"a":1}'}
    answer = {
        "id": "chatcmpl-1",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "function_call",
                "message": {"role": "assistant", "content": None, "function_call": called},
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    chunks = [
        {"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "delta": {"function_call": called}}]},
        {"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "function_call"}]},
        {"id": "chatcmpl-1", "model": "m", "choices": [], "usage": answer["usage"]},
    ]
    item = whole("chat", answer, context())["output"][0]
    assert (item["type"], item["name"], item["arguments"]) == ("function_call", "look", '{"a":1}')
    assert streamed("chat", sse(*chunks, "[DONE]"), context())["output"] == [item]
    message = json.loads(TRANSLATORS["messages", "chat"].answer(json.dumps(answer).encode(), Context(), NOW))
    assert message["content"][0]["input"] == {"a": 1}


@pytest.mark.parametrize("client", ["messages", "chat"])
def test_a_sound_stream_of_responses_has_nothing_that_could_not_be_interpreted(client):
    search = {
        "id": "ws_1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    output = [thought(1, "Let me|see"), search, said("text"), called(2)]
    made = Context(input_tokens=1)
    stream = TRANSLATORS[client, "responses"].stream(made, NOW)
    stream.feed([event for event in events_of(responses_stream(*output)) if b"searching" not in event[1]])
    for state in ("in_progress", "searching", "completed"):
        event = {"type": f"response.web_search_call.{state}", "output_index": 1, "item_id": "ws_1"}
        stream.feed([(event["type"].encode(), json.dumps(event).encode())])
    assert made.warnings == set()
    named = (b"response.function_call_arguments.done", b"response.reasoning_summary_part.added")
    events = [(name, json.dumps({"type": name.decode(), "output_index": 1}).encode()) for name in named]
    TRANSLATORS[client, "responses"].stream(made, NOW).feed(events)
    assert made.warnings == set()


def test_a_response_begins_with_its_first_events_where_a_message_does_not():
    events = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
        {"type": "message_stop"},
    ]
    assert streamed("messages", sse(*events))["output"][0]["content"][0]["text"] == "a"


def test_the_tier_that_served_is_told_by_the_last_chunks():
    made = Context(include_usage=True, input_tokens=1)
    stream = responses_stream(said("a"), service_tier="priority")
    out = TRANSLATORS["chat", "responses"].stream(made, NOW).feed(events_of(stream))
    chunks = [json.loads(data) for _, data in events_of(out)[:-1]]
    assert [chunk.get("service_tier") for chunk in chunks[-3:]] == [None, "priority", "priority"]


@pytest.mark.parametrize("client", ["messages", "responses"])
def test_a_call_of_a_tool_that_nobody_has_named_is_no_call_without_a_name(client):
    custom = {"id": "c1", "type": "custom", "custom": {"name": "x", "input": "y"}}
    message = {"role": "assistant", "content": "a", "tool_calls": [custom]}
    answer = {"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
    made = context()
    told = json.loads(TRANSLATORS[client, "chat"].answer(json.dumps(answer).encode(), made, NOW))
    assert len(told["content" if client == "messages" else "output"]) == 1
    assert "tool_call" in made.warnings
    made = context(input_tokens=1)
    delta = {"content": "a", "tool_calls": [{"index": 0, **custom}]}
    events = sse(
        {"choices": [{"index": 0, "delta": delta}]}, {"choices": [{"index": 0, "finish_reason": "stop"}]}, "[DONE]"
    )
    out = TRANSLATORS[client, "chat"].stream(made, NOW).feed(events_of(events))
    assert b'"tool_use"' not in out
    assert b"function_call" not in out
    assert "tool_call" in made.warnings
