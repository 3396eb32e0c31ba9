"""Chat completion requests as Anthropic's messages, rule by rule."""

from __future__ import annotations

import json

import pytest

from edge.errors import InvalidJSON, InvalidRequest, InvalidValue
from tests.unit.translating import PDF, PNG, TOOL, USER, call, messages
from tests.unit.translating import to_anthropic as translate_request


def test_instructions_a_conversation_begins_with_are_its_system_in_their_order_a_block_each():
    request, _ = messages(
        messages=[
            {"role": "system", "content": "one"},
            {"role": "developer", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "three"}]},
            USER,
        ]
    )
    assert [block["text"] for block in request["system"]] == ["one", "two", "three"]
    assert [message["role"] for message in request["messages"]] == ["user"]


def test_instructions_alone_are_said_by_the_user():
    request, _ = messages(messages=[{"role": "system", "content": "a"}, {"role": "system", "content": "b"}])
    assert request["system"][0]["text"] == "a"
    assert request["messages"] == [{"role": "user", "content": [{"type": "text", "text": "b"}]}]


def test_results_of_tools_come_first_in_one_turn_with_what_the_user_says_next():
    request, _ = messages(
        messages=[
            USER,
            {"role": "assistant", "content": "let me see", "tool_calls": [call("a"), call("b", arguments="")]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "user", "content": "well?"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
        ],
        tools=[TOOL],
    )
    _, assistant, user = request["messages"]
    assert [block["type"] for block in assistant["content"]] == ["text", "tool_use", "tool_use"]
    assert assistant["content"][2]["input"] == {}
    assert [block["type"] for block in user["content"]] == ["tool_result", "tool_result", "text"]
    assert [block["tool_use_id"] for block in user["content"][:2]] == ["a", "b"]


def test_tools_of_the_history_are_defined_though_none_may_be_called():
    request, _ = messages(
        messages=[
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call("a")]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
        ]
    )
    assert [tool["name"] for tool in request["tools"]] == ["look"]
    assert request["tool_choice"] == {"type": "none"}


def test_images_and_documents_keep_their_bytes_and_addresses_are_passed_on():
    request, result = messages(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {
                        "type": "file",
                        "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"},
                    },
                    {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk=", "filename": "a.txt"}},
                ],
            }
        ]
    )
    image, address, pdf, text = request["messages"][0]["content"]
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert address["source"] == {"type": "url", "url": "https://example.com/a.png"}
    assert pdf["source"] == {"type": "base64", "media_type": "application/pdf", "data": PDF}
    assert pdf["title"] == "a.pdf"
    assert text["source"] == {"type": "text", "media_type": "text/plain", "data": "hi"}
    assert result.dropped == ("messages.content.image_url.detail",)


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "messages[0].content[0].type"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "messages[0].content[0].file.file_id"),
        (
            {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA"}},
            "messages[0].content[0].image_url.url",
        ),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "messages[0].content[0].image_url.url"),
    ],
)
def test_parts_that_cannot_cross_are_named(part, field):
    with pytest.raises(InvalidValue) as error:
        messages(messages=[{"role": "user", "content": [part]}])
    assert error.value.param == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"n": 2}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "alien", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"response_format": {"type": "yaml"}}, "response_format"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"stop": 3}, "stop"),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [call("a", arguments="{")]}]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"messages": [USER, {"role": "tool", "content": "1"}]}, "messages[1].tool_call_id"),
    ],
)
def test_what_means_nothing_is_a_400_that_names_the_field(fields, field):
    with pytest.raises(InvalidValue) as error:
        messages(**fields)
    assert (error.value.status, error.value.param) == (400, field)


def test_a_body_that_is_no_json_object_is_refused():
    with pytest.raises(InvalidJSON):
        translate_request(b"{", "claude-sonnet-4-5")
    with pytest.raises(InvalidRequest):
        translate_request(b"[]", "claude-sonnet-4-5")


def test_numbers_in_arguments_survive_to_the_last_digit():
    arguments = '{"a":123456789012345678901234567890,"b":0.1000000000000000000000000001,"c":-0.0,"d":1E+400}'
    result = translate_request(
        json.dumps(
            {"messages": [USER, {"role": "assistant", "tool_calls": [call("a", arguments=arguments)]}]}
        ).encode(),
        "claude-sonnet-4-5",
    )
    assert b'"input":' + arguments.encode() in result.body


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
def test_tool_choice(choice, expected):
    assert messages(tools=[TOOL], tool_choice=choice)[0]["tool_choice"] == expected
    single = messages(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)[0]["tool_choice"]
    assert single == expected | ({} if choice == "none" else {"disable_parallel_tool_use": True})
    assert "tool_choice" not in messages(tool_choice=choice)[0]


def test_allowed_tools_are_the_only_ones_left():
    other = {"type": "function", "function": {"name": "leap"}}
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "leap"}}]},
    }
    request, _ = messages(tools=[TOOL, other], tool_choice=choice)
    assert [tool["name"] for tool in request["tools"]] == ["leap"]
    assert request["tool_choice"] == {"type": "any"}


def test_a_model_that_cannot_be_forced_to_a_tool_is_asked():
    request, result = messages("claude-opus-5-5", tools=[TOOL], tool_choice="required")
    assert request["tool_choice"] == {"type": "auto"}
    assert result.dropped == ("tool_choice",)


def test_functions_of_old_are_tools():
    request, result = messages(
        functions=[{"name": "look"}],
        function_call={"name": "look"},
        messages=[
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
            {"role": "function", "name": "look", "content": "1"},
        ],
    )
    assert request["tools"][0]["name"] == "look"
    assert request["tool_choice"] == {"type": "tool", "name": "look", "disable_parallel_tool_use": True}
    use, outcome = request["messages"][1]["content"][0], request["messages"][2]["content"][0]
    assert use["id"] == outcome["tool_use_id"]
    assert result.context.legacy_functions


def test_every_key_of_a_schema_is_kept():
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"enum": [1, 2]}},
        "additionalProperties": False,
        "required": ["a"],
        "anyOf": [{"required": ["a"]}],
    }
    tool = {"type": "function", "function": {"name": "look", "parameters": schema, "strict": True}}
    request, _ = messages(tools=[tool])
    assert request["tools"] == [{"name": "look", "input_schema": schema, "strict": True}]


def test_sampling_is_clamped_or_dropped_by_what_the_model_takes():
    request, result = messages("claude-sonnet-4-0", temperature=1.5, top_p=0.5)
    assert (request["temperature"], request["top_p"]) == (1, 0.5)
    assert result.dropped == ("temperature",)
    request, result = messages("claude-sonnet-4-5", temperature=0.5, top_p=0.5)
    assert (request["temperature"], "top_p" in request) == (0.5, False)
    assert result.dropped == ("top_p",)
    request, result = messages("claude-opus-5", temperature=0.5, top_p=1)
    assert not {"temperature", "top_p"} & set(request)
    assert result.dropped == ("temperature",)


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "sent", "dropped"),
    [
        ("claude-opus-4-6", "high", {"type": "adaptive"}, "high", ()),
        ("claude-opus-4-6", "xhigh", {"type": "adaptive"}, "high", ()),
        ("claude-opus-4-6", "none", {"type": "disabled"}, None, ()),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None, ()),
        ("claude-opus-5-5", "none", {"type": "adaptive"}, "low", ("reasoning_effort",)),
        ("claude-opus-4-5", "minimal", {"type": "enabled", "budget_tokens": 1024}, "low", ()),
        ("claude-sonnet-4-5", "medium", {"type": "enabled", "budget_tokens": 8192}, None, ()),
        ("claude-sonnet-4-5", "none", None, None, ()),
        ("claude-3-5-haiku-latest", "high", None, None, ("reasoning_effort",)),
    ],
)
def test_effort_becomes_what_the_model_knows_of_thinking(model, effort, thinking, sent, dropped):
    request, result = messages(model, reasoning_effort=effort)
    assert request.get("thinking") == thinking
    assert request.get("output_config", {}).get("effort") == sent
    assert result.dropped == dropped


def test_a_budget_fits_below_the_clients_limit_or_is_left_out():
    request, _ = messages(reasoning_effort="high", max_tokens=4096)
    assert 1024 <= request["thinking"]["budget_tokens"] < request["max_tokens"] == 4096
    request, result = messages(reasoning_effort="high", max_tokens=500)
    assert "thinking" not in request
    assert result.dropped == ("reasoning_effort",)


def test_a_budget_is_left_out_while_tools_run_that_were_called_without_thinking():
    """Anthropic refuses it: the turn that called them would have to begin with thinking."""
    history = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call("a")]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]
    for messages_ in (history, [*history, USER]):
        request, result = messages(reasoning_effort="high", tools=[TOOL], messages=messages_)
        assert "thinking" not in request
        assert result.dropped == ("reasoning_effort",)
    request, _ = messages(
        reasoning_effort="high", tools=[TOOL], messages=[*history, {"role": "assistant", "content": "1"}, USER]
    )
    assert request["thinking"]["type"] == "enabled"


def test_signed_thinking_comes_back_first_and_unchanged_and_any_other_stays_away():
    signed = [
        {"index": 0, "type": "thinking", "thinking": " hm\n", "signature": "c2lnbmF0dXJl+/=="},
        {"index": 1, "type": "redacted_thinking", "data": "eA=="},
    ]
    turn = {"role": "assistant", "content": "so", "reasoning_content": " hm\n", "thinking_blocks": signed}
    request, result = messages(messages=[USER, turn, USER])
    first, second, text = request["messages"][1]["content"]
    assert first == {"type": "thinking", "thinking": " hm\n", "signature": "c2lnbmF0dXJl+/=="}
    assert second == {"type": "redacted_thinking", "data": "eA=="}
    assert text["text"] == "so"
    assert result.dropped == ()
    turn["thinking_blocks"] = [{"type": "thinking", "thinking": "hm", "signature": ""}]
    request, result = messages(messages=[USER, turn, USER])
    assert [block["type"] for block in request["messages"][1]["content"]] == ["text"]
    assert result.dropped == ("messages.thinking_blocks", "messages.reasoning_content")


def test_a_schema_is_asked_for_natively_where_the_model_knows_how():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    request, result = messages("claude-sonnet-4-5", response_format=wanted)
    sent = request["output_config"]["format"]["schema"]
    assert sent["additionalProperties"] is False
    assert sent["properties"]["n"] == {"type": "integer", "description": "{minimum: 1}"}
    assert result.context.output_tool == ""


def test_a_schema_is_a_forced_tool_where_it_does_not():
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {}}}}
    request, result = messages("claude-sonnet-4-0", response_format=wanted)
    name = result.context.output_tool
    assert request["tools"][-1]["name"] == name
    assert request["tool_choice"]["type"] == "tool"
    request, _ = messages("claude-sonnet-4-0", response_format=wanted, tools=[TOOL])
    assert request["tool_choice"] == {"type": "any"}


def test_a_tool_is_never_forced_while_thinking_is_on():
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {}}}}
    for fields in ({"reasoning_effort": "high"}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}):
        request, _ = messages("claude-sonnet-4-0", response_format=wanted, **fields)
        assert request["thinking"]["type"] == "enabled"
        assert request["tool_choice"]["type"] == "auto"
    request, result = messages("claude-sonnet-4-0", tools=[TOOL], tool_choice="required", reasoning_effort="high")
    assert "thinking" not in request
    assert result.dropped == ("reasoning_effort",)


def test_cache_markers_are_kept_up_to_four_and_the_latest_win():
    parts = [
        {"type": "text", "text": str(number), "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        for number in range(6)
    ]
    request, result = messages(messages=[{"role": "user", "content": parts}])
    marks = [block.get("cache_control") for block in request["messages"][0]["content"]]
    assert marks == [None, None, *[{"type": "ephemeral", "ttl": "1h"}] * 4]
    assert result.dropped == ("cache_control",)
    request, _ = messages(
        messages=[{"role": "user", "content": parts}], tools=[TOOL | {"cache_control": {"type": "ephemeral"}}]
    )
    assert sum("cache_control" in block for block in request["messages"][0]["content"]) == 3
    twice = {"role": "user", "content": parts[:1], "cache_control": {"type": "ephemeral"}}
    assert "cache_control" not in messages(messages=[twice] * 5)[0]["messages"][0]["content"][0]
    part = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    request, _ = messages(messages=[{"role": "user", "content": [part]}])
    assert request["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}


def test_what_cannot_cross_is_reported_and_in_strict_mode_refused():
    lost = {
        "seed": 1,
        "logprobs": True,
        "top_logprobs": 2,
        "logit_bias": {"1": 1},
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "prediction": {"type": "content", "content": "x"},
        "modalities": ["text", "audio"],
        "audio": {"voice": "a", "format": "wav"},
        "store": True,
        "metadata": {"a": "b"},
        "verbosity": "low",
        "prompt_cache_key": "k",
        "web_search_options": {},
        "field_of_next_year": 1,
    }
    assert messages(**lost)[1].dropped == tuple(lost)
    with pytest.raises(InvalidRequest) as error:
        messages(strict=True, **lost)
    assert all(name in error.value.message for name in lost)
    neutral = {
        "n": 1,
        "logprobs": False,
        "store": False,
        "modalities": ["text"],
        "seed": None,
        "presence_penalty": 0,
    }
    assert messages(strict=True, **neutral)[1].dropped == ()


def test_users_are_hashed():
    request, _ = messages(user="someone@example.com")
    assert len(request["metadata"]["user_id"]) == 64
    assert "someone" not in str(request)


def test_the_rest_of_the_fields():
    request, result = messages(
        stop="END",
        service_tier="default",
        stream=True,
        stream_options={"include_usage": True},
        max_completion_tokens=9,
    )
    assert request["stop_sequences"] == ["END"]
    assert request["service_tier"] == "standard_only"
    assert request["stream"] is True
    assert request["max_tokens"] == 9
    assert result.context.include_usage
    request, result = messages(stop=["a", " "], service_tier="flex")
    assert request["stop_sequences"] == ["a"]
    assert set(result.dropped) == {"service_tier", "stop"}


def test_the_last_assistant_turn_ends_in_no_white_space():
    request, _ = messages(messages=[USER, {"role": "assistant", "content": "It is \n"}])
    assert request["messages"][-1]["content"][0]["text"] == "It is"


def test_a_reported_name_can_do_no_harm_in_a_header():
    odd = {"a\r\nset-cookie: x": 1, "ü": 1, "x" * 1000: 1} | {f"field_{number}": 1 for number in range(100)}
    dropped = messages(**odd)[1].dropped
    assert dropped[:2] == ("a??set-cookie??x", "?")
    assert len(dropped) == 32
    assert all(len(name) <= 64 for name in dropped)
