"""Messages requests as OpenAI's chat completions, rule by rule."""

from __future__ import annotations

import json

import pytest

from edge.errors import InvalidRequest
from tests.unit.translating import CUSTOM, PDF, PNG, USER, chat
from tests.unit.translating import to_openai as translate_request


def test_results_go_before_what_the_user_says_and_images_follow_behind_a_marker():
    request, _ = chat(
        messages=[
            USER,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "well?"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "no"},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                        ],
                    },
                ],
            },
        ]
    )
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "tool", "user"]
    assert request["messages"][2] == {"role": "tool", "tool_call_id": "toolu_1", "content": "Error: no"}
    marker, image, text = request["messages"][3]["content"]
    assert "toolu_1" in marker["text"]
    assert image["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    assert text["text"] == "well?"


@pytest.mark.parametrize("content", [None, "", []])
def test_a_result_without_content_is_an_empty_text(content):
    block = {"type": "tool_result", "tool_use_id": "toolu_1"} | ({} if content is None else {"content": content})
    request, _ = chat(messages=[{"role": "user", "content": [block]}])
    assert request["messages"] == [{"role": "tool", "tool_call_id": "toolu_1", "content": ""}]


def test_documents_are_files_and_texts_are_text():
    request, _ = chat(
        messages=[
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "title": "a.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    },
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                ],
            }
        ]
    )
    file, text, image = request["messages"][0]["content"]
    assert file["file"] == {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    assert text["text"] == "words"
    assert image["image_url"]["url"] == "https://example.com/a.png"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"mcp_servers": [{"type": "url", "name": "x", "url": "https://x"}]}, "mcp_servers"),
        (
            {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
                ]
            },
            "messages[0].content[0].source",
        ),
        ({"stop_sequences": list("abcde")}, "stop_sequences"),
        ({"tools": [CUSTOM], "tool_choice": {"type": "tool", "name": "leap"}}, "tool_choice.name"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ],
)
def test_what_cannot_cross_is_a_400_that_names_it(fields, field):
    with pytest.raises(InvalidRequest) as error:
        chat(**fields)
    assert (error.value.status, error.value.param) == (400, field)
    for tool in fields.get("tools", ()):
        assert tool["name"] in error.value.message or "leap" in error.value.message


def test_blocks_of_server_tools_in_the_history_stay_behind_and_the_text_crosses():
    request, result = chat(
        messages=[
            USER,
            {
                "role": "assistant",
                "content": [
                    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
                    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                    {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "ask", "server_name": "s", "input": {}},
                    {"type": "text", "text": "found"},
                ],
            },
            USER,
        ]
    )
    assert request["messages"][1] == {"role": "assistant", "content": "found"}
    assert result.dropped == (
        "messages.content.server_tool_use",
        "messages.content.web_search_tool_result",
        "messages.content.mcp_tool_use",
    )


def test_a_search_for_tools_stays_behind_for_all_tools_are_sent():
    search = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
    request, result = chat(tools=[search, CUSTOM | {"defer_loading": True}])
    assert [tool["function"]["name"] for tool in request["tools"]] == ["look"]
    assert result.dropped == ("tools.tool_search", "tools.defer_loading")


def test_instructions_in_mid_conversation_stay_where_they_are():
    addition = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "look"}}
    request, result = chat(
        system="first",
        tools=[CUSTOM],
        messages=[
            USER,
            {"role": "system", "content": [{"type": "text", "text": "now"}]},
            {"role": "system", "content": [addition]},
        ],
    )
    assert [(message["role"], message["content"]) for message in request["messages"]] == [
        ("system", "first"),
        ("user", "hi"),
        ("system", "now"),
    ]
    assert result.dropped == ("messages.content.tool_addition",)


def test_a_tool_that_the_history_adds_is_among_the_tools():
    change = {"type": "tool_addition", "tool": {"name": "leap", "input_schema": {"type": "object"}}}
    request, _ = chat(tools=[CUSTOM], messages=[USER, {"role": "system", "content": [change]}])
    assert [tool["function"]["name"] for tool in request["tools"]] == ["look", "leap"]


@pytest.mark.parametrize(
    ("model", "fields", "effort", "dropped"),
    [
        ("gpt-5", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, "low", ()),
        ("gpt-5", {"thinking": {"type": "enabled", "budget_tokens": 10000}}, "medium", ()),
        ("gpt-5", {"thinking": {"type": "enabled", "budget_tokens": 31999}}, "high", ()),
        ("gpt-5", {"thinking": {"type": "adaptive"}}, "high", ()),
        ("gpt-5", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "high", ()),
        ("gpt-5", {"thinking": {"type": "disabled"}}, "minimal", ("thinking",)),
        ("gpt-5.2", {"thinking": {"type": "disabled"}}, "none", ()),
        ("gpt-5.6", {"output_config": {"effort": "max"}}, "xhigh", ()),
        ("gpt-4o", {"thinking": {"type": "adaptive"}}, None, ("thinking",)),
        ("gpt-4o", {"thinking": {"type": "disabled"}}, None, ()),
        ("gpt-5.6", {"thinking": {"type": "adaptive"}, "tools": [CUSTOM]}, "none", ("thinking",)),
        ("gpt-5.6", {"tools": [CUSTOM]}, "none", ()),
    ],
)
def test_thinking_becomes_an_effort_the_model_knows(model, fields, effort, dropped):
    request, result = chat(model, **fields)
    assert request.get("reasoning_effort") == effort
    assert result.dropped == dropped


def test_limits_and_users_have_the_names_the_server_knows():
    request, _ = chat("gpt-4o", metadata={"user_id": "u"})
    assert (request["max_completion_tokens"], request["safety_identifier"]) == (100, "u")
    request, _ = chat("llama-3", metadata={"user_id": "u" * 65})
    assert (request["max_tokens"], len(request["user"])) == (100, 64)


def test_warming_the_cache_generates_as_little_as_can_be():
    request, result = chat(max_tokens=0)
    assert request["max_completion_tokens"] == 1
    assert result.dropped == ("max_tokens",)


def test_tools_choice_and_structure():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request, _ = chat(
        tools=[{"name": "look", "description": "d", "input_schema": schema}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert request["tools"] == [
        {"type": "function", "function": {"name": "look", "description": "d", "parameters": schema}}
    ]
    assert request["tool_choice"] == "required"
    assert request["parallel_tool_calls"] is False
    described = request["response_format"]["json_schema"]
    assert described == {"name": "output", "schema": schema, "strict": False}
    closed = schema | {"additionalProperties": False, "required": ["a"]}
    request, _ = chat(output_config={"format": {"type": "json_schema", "schema": closed}})
    assert request["response_format"]["json_schema"]["strict"] is True


def test_a_stream_always_asks_for_its_counts():
    request, _ = chat(stream=True)
    assert request["stream_options"] == {"include_usage": True}


def test_what_cannot_cross_is_reported_and_in_strict_mode_refused():
    lost = {"top_k": 5, "context_management": {}, "speed": "fast", "field_of_next_year": 1}
    assert chat(**lost)[1].dropped == tuple(lost)
    with pytest.raises(InvalidRequest, match="top_k"):
        chat(strict=True, **lost)
    marked = {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}
    assert chat(messages=[marked])[1].dropped == ("cache_control",)
    request, result = chat("gpt-5.6", messages=[marked])
    assert request["messages"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    assert result.dropped == ()


def test_a_reasoning_model_takes_no_temperature():
    request, result = chat("gpt-5", temperature=0.5, top_p=1, stop_sequences=["x"])
    assert not {"temperature", "top_p", "stop"} & set(request)
    assert result.dropped == ("temperature", "stop_sequences")


def test_a_server_that_wants_its_reasoning_back_gets_it():
    turn = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "so"}],
    }
    body = json.dumps({"max_tokens": 1, "messages": [USER, turn, USER]}).encode()
    sent = json.loads(translate_request(body, "deepseek-chat").body)
    assert sent["messages"][1] == {"role": "assistant", "content": "so", "reasoning_content": "hm"}


def test_names_and_ids_fit_and_come_back():
    long = "mcp__a_server_with_a_very_long_name__and_a_tool_with_an_even_longer_name"
    request, result = chat(
        tools=[{"name": long, "input_schema": {"type": "object"}}],
        tool_choice={"type": "tool", "name": long},
        messages=[
            USER,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "x" * 50, "name": long, "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x" * 50, "content": "1"}]},
        ],
    )
    name = request["tools"][0]["function"]["name"]
    assert len(name) == 64
    assert request["tool_choice"]["function"]["name"] == name
    used = request["messages"][1]["tool_calls"][0]
    assert used["function"]["name"] == name
    assert used["id"] == request["messages"][2]["tool_call_id"]
    assert len(used["id"]) <= 40
    assert result.context.tool_names == {name: long}
