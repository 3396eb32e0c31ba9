"""Mistakes that other gateways have made in translating, one by one: none may be made here."""

from __future__ import annotations

import json

import pytest

from edge.dialects.anthropic import TYPES
from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from tests.unit.test_translation_streams import (
    PING,
    START,
    STOP,
    block,
    chunk,
    counts,
    delta,
    end,
    piece,
    stop,
    text,
    tool,
)
from tests.unit.translating import (
    CUSTOM,
    NOW,
    PNG,
    TOOL,
    USER,
    call,
    chat,
    completion_of,
    events_of,
    given,
    message_of,
    messages,
    run,
    sse,
)

MESSAGE = START["message"]


def completion(context=None, **fields):
    body = json.dumps({**MESSAGE, "stop_reason": "end_turn", **fields}).encode()
    return json.loads(TRANSLATORS["chat", "messages"].answer(body, context or Context(), NOW))


def message(context=None, finish="stop", usage=None, **said):
    body = {"id": "chatcmpl-1", "model": "gpt", "choices": [{"index": 0, "message": said, "finish_reason": finish}]}
    return json.loads(
        TRANSLATORS["messages", "chat"].answer(json.dumps(body | {"usage": usage}).encode(), context or Context(), NOW)
    )


def to_openai(*events, context=None):
    return run(TRANSLATORS["chat", "messages"].stream(context or Context(), NOW), sse(*events))


def to_anthropic(*chunks, context=None):
    return run(TRANSLATORS["messages", "chat"].stream(context or Context(), NOW), sse(*chunks))


def test_all_text_blocks_are_kept_and_nothing_is_put_between_them():
    content = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert completion(content=content)["choices"][0]["message"]["content"] == "ab"


def test_text_is_kept_beside_calls_of_tools():
    content = [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}]
    said = completion(content=content, stop_reason="tool_use")["choices"][0]["message"]
    assert said["content"] == "a"
    assert said["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        *(("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls")),
        *(("model_context_window_exceeded", "length"), ("refusal", "content_filter"), ("pause_turn", "stop")),
        *(("reason_of_next_year", "stop"), (None, "stop")),
    ],
)
def test_no_stop_reason_is_an_error_and_none_is_passed_on_raw(reason, finish):
    assert completion(stop_reason=reason)["choices"][0]["finish_reason"] == finish
    assert completion_of(to_openai(START, *text(0, "x"), end(reason), STOP))["choices"][0]["finish_reason"] == finish


def test_streamed_thinking_is_neither_lost_nor_content():
    start = block(0, "thinking", thinking="", signature="")
    events = [START, start, delta(0, "thinking", thinking="hm"), stop(0), *text(1, "x"), end(), STOP]
    said = completion_of(to_openai(*events))["choices"][0]["message"]
    assert (said["reasoning_content"], said["content"]) == ("hm", "x")


def test_a_delta_belongs_to_the_block_of_its_index_not_to_the_latest():
    first, *_, first_stop = tool(1, "toolu_1")
    second, *_, second_stop = tool(2, "toolu_2")
    pieces = [delta(index, "input_json", partial_json=f'{{"n":{index}}}') for index in (1, 2)]
    events = [START, *text(0, "x"), first, second, *pieces, first_stop, second_stop, end("tool_use"), STOP]
    calls = completion_of(to_openai(*events))["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [
        ("toolu_1", '{"n":1}'),
        ("toolu_2", '{"n":2}'),
    ]


def test_a_calls_number_counts_calls_and_its_choice_is_the_first():
    out = to_openai(START, *text(0, "x"), *tool(1, "toolu_1", "{}"), end("tool_use"), STOP)
    chunks = [json.loads(data) for _, data in events_of(out)[:-1]]
    assert {choice["index"] for item in chunks for choice in item["choices"]} == {0}
    numbers = {
        call["index"] for item in chunks for choice in item["choices"] for call in choice["delta"].get("tool_calls", ())
    }
    assert numbers == {0}


def test_a_missing_limit_is_never_zero():
    for model in ("claude-sonnet-4-5", "claude-3-opus-latest", "unheard-of"):
        assert messages(model)[0]["max_tokens"] >= 1024


def test_single_calls_are_asked_for_though_no_choice_is_made():
    request, _ = messages(tools=[TOOL], parallel_tool_calls=False)
    assert request["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    request, _ = chat(tools=[CUSTOM], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert request["parallel_tool_calls"] is False


def test_empty_arguments_are_an_empty_object():
    request, _ = messages(messages=[USER, {"role": "assistant", "tool_calls": [call("a", arguments="")]}], tools=[TOOL])
    assert request["messages"][1]["content"][0]["input"] == {}


def test_arguments_that_are_no_json_never_become_a_string():
    called = [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a'}}]
    context = Context()
    assert message(context, "length", content=None, tool_calls=called)["content"][0]["input"] == {}
    assert "arguments" in context.warnings


def test_an_empty_object_is_not_sent_before_arguments_that_follow():
    for pieces, arguments in (((), "{}"), (("",), "{}"), (('{"a":1}',), '{"a":1}')):
        out = to_openai(START, *tool(0, "toolu_1", *pieces), end("tool_use"), STOP)
        assert completion_of(out)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == arguments


def test_streamed_calls_are_not_lost():
    out = to_openai(START, *tool(0, "toolu_1", "{}"), *tool(1, "toolu_2", "{}"), end("tool_use"), STOP)
    assert len(completion_of(out)["choices"][0]["message"]["tool_calls"]) == 2
    called = [piece(0, "{}", "call_1", "look"), piece(1, "{}", "call_2", "look")]
    assert len(message_of(to_anthropic(chunk(tool_calls=called), chunk("tool_calls"), "[DONE]"))["content"]) == 2


def test_a_ping_is_no_chunk():
    assert to_openai(START, PING, *text(0, "x"), PING, end(), STOP) == to_openai(START, *text(0, "x"), end(), STOP)


def test_no_usage_is_sent_to_whom_did_not_ask():
    assert b"usage" not in to_openai(START, *text(0, "x"), end(), STOP)


def test_images_errors_and_documents_in_results_of_tools_are_not_lost():
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "is_error": True,
        "content": [{"type": "image", "source": source}, document],
    }
    request, _ = chat(messages=[{"role": "user", "content": [result]}])
    assert PNG in str(request)
    assert request["messages"][0]["content"] == "Error: words"


def test_top_k_and_formats_are_translated_or_reported():
    schema = {"type": "object", "properties": {}, "additionalProperties": False, "required": []}
    request, result = chat(top_k=3, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert request["response_format"]["json_schema"]["schema"] == schema
    assert result.dropped == ("top_k",)


def test_cached_tokens_are_forwarded_and_each_token_counts_once():
    usage = {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 7}
    counted = completion(usage=usage)["usage"]
    assert (counted["prompt_tokens"], counted["completion_tokens"], counted["total_tokens"]) == (10, 7, 17)
    assert counted["prompt_tokens_details"] == {"cached_tokens": 3, "cache_write_tokens": 2}
    assert given(message(content="x", usage=counted)["usage"]) == usage


@pytest.mark.parametrize("status", range(400, 600))
def test_only_anthropics_own_types_of_errors_are_used_and_not_one_for_all(status):
    body = json.dumps(
        {"error": {"message": "m", "type": "internal_server_error", "param": None, "code": None}}
    ).encode()
    translated, answer = TRANSLATORS["messages", "chat"].error(status, body, "req_1")
    answer = json.loads(answer)
    assert answer["error"]["type"] in TYPES.values()
    assert translated == (529 if status == 503 else status)
    if translated in TYPES:
        assert answer["error"]["type"] == TYPES[translated]
    assert (answer["type"], answer["request_id"]) == ("error", "req_1")


def test_tools_of_the_server_are_not_the_clients_calls():
    content = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "text", "text": "x"},
    ]
    assert "tool_calls" not in completion(content=content)["choices"][0]["message"]


def test_an_error_within_a_stream_is_neither_swallowed_nor_a_finish_reason():
    error = {"type": "error", "error": {"type": "api_error", "message": "m"}}
    out = to_openai(START, *text(0, "x"), error)
    assert b'"error"' in out
    assert b"[DONE]" not in out
    assert b'"finish_reason":"' not in out


def test_the_finish_reason_is_sent_once():
    out = to_openai(START, *tool(0, "toolu_1", "{}"), end("tool_use"), STOP)
    assert out.count(b'"finish_reason":"') == 1
    assert b'"finish_reason":"tool_calls"' in out


def test_a_refusal_is_one_in_whole_answers_and_in_streams():
    assert message(refusal="no", content=None)["stop_reason"] == "refusal"
    streamed = message_of(to_anthropic(chunk(refusal="n"), chunk(refusal="o"), chunk("stop"), "[DONE]"))
    assert (streamed["stop_reason"], streamed["content"][0]["text"]) == ("refusal", "no")
    details = {"type": "refusal", "category": "cyber", "explanation": "no"}
    whole = completion(stop_reason="refusal", stop_details=details)["choices"][0]
    ended = end("refusal")
    ended["delta"]["stop_details"] = details
    streamed = completion_of(to_openai(START, ended, STOP))["choices"][0]
    for choice in (whole, streamed):
        assert (choice["finish_reason"], choice["message"]["refusal"]) == ("content_filter", "no")


def test_reasoning_reaches_the_other_side_and_its_missing_signature_is_not_faked():
    content = message(reasoning_content="hm", content="x")["content"]
    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": ""}
    streamed = message_of(to_anthropic(chunk(reasoning_content="hm"), chunk(content="x"), chunk("stop"), "[DONE]"))
    assert streamed["content"] == content


def test_a_stream_without_done_is_closed_properly():
    assert message_of(to_anthropic(chunk(content="x"), chunk("stop")))["stop_reason"] == "end_turn"


def test_calls_with_a_plain_stop_are_calls():
    called = [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    assert message(content=None, tool_calls=called)["stop_reason"] == "tool_use"


def test_no_system_message_wins_over_another():
    request, _ = messages(messages=[{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER])
    assert [part["text"] for part in request["system"]] == ["a", "b"]
    assert all(item["role"] != "system" for item in request["messages"])


def test_stop_and_top_p_are_not_lost():
    request, _ = messages("claude-sonnet-4-0", stop="END", top_p=0.5)
    assert (request["stop_sequences"], request["top_p"]) == (["END"], 0.5)
    request, _ = chat(stop_sequences=["END"], top_p=0.5)
    assert (request["stop"], request["top_p"]) == (["END"], 0.5)


def test_ids_models_and_times_are_the_providers_and_one_for_all_chunks():
    answer = completion()
    assert (answer["id"], answer["model"], answer["created"]) == ("msg_1", "claude", NOW)
    streamed = completion_of(to_openai(START, *text(0, "x"), end(), STOP))
    assert (streamed["id"], streamed["model"], streamed["created"]) == ("msg_1", "claude", NOW)
    bare = {"type": "message_start", "message": {"role": "assistant"}}
    streamed = completion_of(to_openai(bare, *text(0, "x"), end(), STOP, context=Context(model="claude-x")))
    assert streamed["model"] == "claude-x"


def test_an_images_address_is_an_address():
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    request, _ = messages(messages=[{"role": "user", "content": [part]}])
    assert request["messages"][0]["content"][0]["source"] == {"type": "url", "url": "https://example.com/a.png"}


def test_a_schema_keeps_all_its_keys_and_one_without_a_type_is_no_accident():
    schema = {"properties": {"a": {}}, "$defs": {"A": {}}, "anyOf": [{}], "additionalProperties": False, "title": "T"}
    tools = [{"type": "function", "function": {"name": "look", "parameters": schema}}]
    assert messages(tools=tools)[0]["tools"][0]["input_schema"] == {**schema, "type": "object"}
    empty = messages(tools=[{"type": "function", "function": {"name": "look"}}])[0]["tools"][0]
    assert empty["input_schema"] == {"type": "object", "properties": {}}


def test_a_required_call_is_required():
    assert messages(tools=[TOOL], tool_choice="required")[0]["tool_choice"] == {"type": "any"}
    assert chat(tools=[CUSTOM], tool_choice={"type": "any"})[0]["tool_choice"] == "required"


def test_results_of_parallel_calls_are_one_turn():
    calls = [call("a"), call("b")]
    results = [{"role": "tool", "tool_call_id": name, "content": "1"} for name in "ab"]
    request, _ = messages(messages=[USER, {"role": "assistant", "tool_calls": calls}, *results], tools=[TOOL])
    assert [item["role"] for item in request["messages"]] == ["user", "assistant", "user"]


def test_cumulative_output_tokens_are_not_added_up():
    out = to_openai(
        START, *text(0, "x"), end(output_tokens=5), end(output_tokens=9), STOP, context=Context(include_usage=True)
    )
    assert completion_of(out)["usage"]["completion_tokens"] == 9


def test_an_event_of_megabytes_is_translated():
    long = "x" * (1 << 21)
    assert completion_of(to_openai(START, *text(0, long), end(), STOP))["choices"][0]["message"]["content"] == long
    assert message_of(to_anthropic(chunk(content=long), chunk("stop"), "[DONE]"))["content"][0]["text"] == long


def test_input_tokens_are_told_at_the_end_when_they_are_known():
    counted = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    out = to_anthropic(chunk(content="x"), chunk("stop"), counts(**counted), "[DONE]")
    last = next(json.loads(data) for name, data in events_of(out) if name == b"message_delta")
    assert last["usage"]["input_tokens"] == 12


def test_arguments_in_one_piece_are_a_delta_and_not_only_the_start():
    out = to_anthropic(chunk(tool_calls=[piece(0, '{"a":1}', "call_1", "look")]), chunk("tool_calls"), "[DONE]")
    deltas = [json.loads(data) for name, data in events_of(out) if name == b"content_block_delta"]
    assert deltas[0]["delta"] == {"type": "input_json_delta", "partial_json": '{"a":1}'}
