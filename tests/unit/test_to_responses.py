"""Requests of messages and chat completions on their way to Responses: what a field, a block, a part becomes."""

from __future__ import annotations

import json
import re

import pytest

from edge.dialects.sealed import Seal
from edge.dialects.translators import TRANSLATORS
from edge.errors import EdgeError, InvalidRequest
from tests.unit.responding import (
    ASTRA,
    SEAL,
    asked,
    called,
    streamed,
    thought,
)
from tests.unit.translating import (
    CUSTOM,
    NOW,
    PDF,
    PNG,
    TOOL,
    USER,
    call,
    message_of,
    run,
)


class TestARequestOfMessages:
    def test_instructions_and_turns_are_items_in_their_places(self):
        request, dropped = asked(
            "messages",
            system=[{"type": "text", "text": "S"}],
            messages=[USER, {"role": "assistant", "content": "yes"}, {"role": "system", "content": "be brief"}, USER],
        )
        assert request["input"] == [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "hi"},
            {"type": "message", "role": "assistant", "content": "yes", "phase": "final_answer"},
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
        ]
        assert "instructions" not in request
        assert dropped == ()

    @pytest.mark.parametrize(("model", "knows"), [(ASTRA, True), ("gpt-5.3-codex", True), ("gpt-5.1-codex", False)])
    def test_what_was_said_between_calls_is_told_from_an_answer_where_the_model_knows_that(self, model, knows):
        thinking = {"type": "redacted_thinking", "data": SEAL.reasoning(thought())}
        used = {"type": "tool_use", "id": "toolu_1", "name": CUSTOM["name"], "input": {}}
        said = [{"type": "text", "text": "I look."}, thinking, used]
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]}
        turns = [USER, {"role": "assistant", "content": said}, result, {"role": "assistant", "content": "So."}, USER]
        request, _ = asked("messages", model, messages=turns, tools=[CUSTOM])
        phases = [item.get("phase") for item in request["input"] if item.get("role") == "assistant"]
        assert phases == (["commentary", "final_answer"] if knows else [None, None])

    def test_all_that_was_said_in_a_turn_before_a_call_is_commentary(self):
        thinking = {"type": "redacted_thinking", "data": SEAL.reasoning(thought())}
        used = {"type": "tool_use", "id": "toolu_1", "name": CUSTOM["name"], "input": {}}
        said = [{"type": "text", "text": "I look."}, thinking, {"type": "text", "text": "Now."}, used]
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]}
        request, _ = asked("messages", messages=[USER, {"role": "assistant", "content": said}, result], tools=[CUSTOM])
        phases = [item.get("phase") for item in request["input"] if item.get("role") == "assistant"]
        assert phases == ["commentary", "commentary"]

    def test_nothing_is_kept_there_and_thoughts_come_back_encrypted(self):
        request, _ = asked("messages")
        assert (request["store"], request["include"]) == (False, ["reasoning.encrypted_content"])
        assert "include" not in asked("messages", "gpt-4o")[0], "it is refused for models that do not reason"

    def test_tools_are_strict_only_where_they_say_so(self):
        strict = {**CUSTOM, "name": "s", "strict": True}
        strict["input_schema"] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        request, _ = asked("messages", tools=[CUSTOM, strict], tool_choice={"type": "tool", "name": "s"})
        assert [(tool["type"], tool["name"], tool["strict"]) for tool in request["tools"]] == [
            ("function", "look", False),
            ("function", "s", True),
        ]
        assert request["tool_choice"] == {"type": "function", "name": "s"}

    @pytest.mark.parametrize("effort", ["low", "max"])
    def test_efforts_are_those_of_responses_with_tools_too(self, effort):
        request, dropped = asked("messages", tools=[CUSTOM], output_config={"effort": effort})
        assert (request["reasoning"], dropped) == ({"effort": effort}, ())

    def test_a_summary_is_asked_for_by_who_wants_to_see_thinking(self):
        shown = asked("messages", thinking={"type": "adaptive", "display": "summarized"})[0]["reasoning"]
        assert shown == {"effort": "high", "summary": "auto"}
        assert asked("messages", thinking={"type": "adaptive"})[0]["reasoning"] == {"effort": "high"}

    def test_results_of_tools_keep_their_pictures_and_documents(self):
        png = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
        results = [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "see"}, png, pdf]},
            {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": "no"},
            {"type": "tool_result", "tool_use_id": "t3", "content": []},
        ]
        uses = [{"type": "tool_use", "id": f"t{number}", "name": "look", "input": {}} for number in (1, 2, 3)]
        request, _ = asked(
            "messages", messages=[USER, {"role": "assistant", "content": uses}, {"role": "user", "content": results}]
        )
        outputs = [item["output"] for item in request["input"] if item.get("type") == "function_call_output"]
        assert outputs == [
            [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
                {"type": "input_file", "filename": "document.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
            ],
            "Error: no",
            "",
        ]

    def test_breakpoints_of_the_cache_cross(self):
        marked = {"type": "text", "text": "S", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        empty = {"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}
        request, dropped = asked(
            "messages", system=[marked], messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, empty]}]
        )
        marks = [part.get("prompt_cache_breakpoint") for item in request["input"] for part in item["content"]]
        assert (marks, dropped) == ([{"mode": "explicit", "ttl": "12h"}, {"mode": "explicit"}], ())

    def test_what_responses_have_no_field_for_is_told(self):
        request, dropped = asked("messages", stop_sequences=["x"], top_k=5, max_tokens=1)
        assert request["max_output_tokens"] == 16
        assert set(dropped) == {"stop_sequences", "top_k", "max_tokens"}
        with pytest.raises(InvalidRequest, match="stop_sequences"):
            asked("messages", strict=True, stop_sequences=["x"])

    def test_a_tool_of_anthropics_own_is_a_400_that_names_it(self):
        with pytest.raises(EdgeError, match="web_search") as error:
            asked("messages", tools=[{"type": "web_search_20250305", "name": "web_search"}])
        assert error.value.param == "tools[0].type"

    def test_a_thought_that_nothing_follows_stays_behind(self):
        block = {"type": "redacted_thinking", "data": SEAL.reasoning(thought())}
        request, dropped = asked("messages", messages=[USER, {"role": "assistant", "content": [block]}, USER])
        assert [item.get("role") for item in request["input"]] == ["user", "user"]
        assert dropped == ("messages.content.thinking",)

    @pytest.mark.parametrize(
        "block",
        [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "redacted_thinking", "data": Seal(b"another").reasoning(thought())},
            {"type": "redacted_thinking", "data": SEAL.reasoning(thought())[:-4] + "AAAA"},
        ],
    )
    def test_thoughts_of_others_stay_behind(self, block):
        turn = {"role": "assistant", "content": [block, {"type": "text", "text": "x"}]}
        request, dropped = asked("messages", messages=[USER, turn, USER])
        assert all(item.get("type") != "reasoning" for item in request["input"])
        assert dropped == (f"messages.content.{block['type']}",)


class TestClaudeCode:
    LONG = "mcp__plugin_chrome-devtools-mcp_chrome-devtools__get_console_message"

    def test_the_line_that_is_never_the_same_stays_behind(self):
        sent = []
        for cch in ("eb6c6", "00000"):
            billing = {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1; cch={cch};"}
            sent.append(asked("messages", system=[billing, {"type": "text", "text": "You are Claude Code."}]))
        assert sent[0] == sent[1]
        assert sent[0][0]["input"][0] == {"role": "system", "content": "You are Claude Code."}

    def test_long_names_of_tools_are_shortened_alike_everywhere_and_come_back(self):
        names = [self.LONG, f"{self.LONG}s", "ns.tool/with:signs"]
        use = {"type": "tool_use", "id": "t1", "name": self.LONG, "input": {}}
        result = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
        fields = {
            "tools": [{"name": name, "input_schema": {"type": "object"}} for name in names],
            "tool_choice": {"type": "tool", "name": self.LONG},
            "messages": [USER, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}],
        }
        made = TRANSLATORS["messages", "responses"].opens(ASTRA)
        sent = json.loads(made.at_once(json.dumps({"model": "x", "max_tokens": 99, **fields}).encode()).body)
        short = [tool["name"] for tool in sent["tools"]]
        assert len(set(short)) == 3
        assert all(len(name) <= 64 and re.fullmatch("[a-zA-Z0-9_-]+", name) for name in short)
        assert sent["tool_choice"]["name"] == sent["input"][1]["name"] == short[0]
        stream = streamed(called(name=short[0]))
        back = message_of(run(TRANSLATORS["messages", "responses"].stream(made.context, NOW), stream))
        assert back["content"][0]["name"] == self.LONG


class TestARequestOfChat:
    def test_roles_parts_and_tools(self):
        custom = {
            "type": "custom",
            "custom": {
                "name": "patch",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}},
            },
        }
        parts = [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
        ]
        request, dropped = asked(
            "chat",
            messages=[{"role": "developer", "content": "D"}, {"role": "user", "content": parts}],
            tools=[TOOL, custom],
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "look"}}]},
            },
        )
        assert request["input"][0] == {"role": "developer", "content": "D"}
        assert [part["type"] for part in request["input"][1]["content"]] == ["input_text", "input_image", "input_file"]
        assert [tool["type"] for tool in request["tools"]] == ["function", "custom"]
        assert request["tools"][1]["format"] == {"type": "grammar", "syntax": "lark", "definition": "start: x"}
        assert request["tool_choice"] == {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "look"}],
        }
        assert dropped == ()

    def test_a_loop_with_calls_of_both_kinds(self):
        calls = [call("call_1"), {"id": "call_2", "type": "custom", "custom": {"name": "patch", "input": "*"}}]
        history = [
            USER,
            {"role": "assistant", "content": "I look", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "done"}]},
        ]
        request, _ = asked("chat", messages=history, tools=[TOOL])
        assert [item.get("type", item.get("role")) for item in request["input"]] == [
            *("user", "message", "function_call", "custom_tool_call"),
            *("function_call_output", "custom_tool_call_output"),
        ]

    def test_fields_and_formats(self):
        form = {"type": "json_schema", "json_schema": {"name": "out", "schema": {"type": "object"}, "strict": True}}
        request, dropped = asked(
            "chat",
            reasoning_effort="high",
            verbosity="low",
            response_format=form,
            max_completion_tokens=5,
            stop=["x"],
            seed=1,
            n=1,
        )
        assert request["reasoning"] == {"effort": "high"}
        assert request["text"] == {
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "out", "schema": {"type": "object"}, "strict": True},
        }
        assert request["max_output_tokens"] == 16
        assert set(dropped) == {"stop", "seed", "max_completion_tokens"}
        with pytest.raises(EdgeError) as error:
            asked("chat", n=2)
        assert error.value.param == "n"

    def test_a_search_of_the_web_is_a_tool(self):
        place = {"type": "approximate", "approximate": {"city": "Lisbon"}}
        request, _ = asked("chat", web_search_options={"search_context_size": "low", "user_location": place})
        assert request["tools"] == [
            {
                "type": "web_search",
                "search_context_size": "low",
                "user_location": {"type": "approximate", "city": "Lisbon"},
            }
        ]

    def test_functions_of_old(self):
        history = [
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
            {"role": "function", "name": "look", "content": "ok"},
        ]
        request, _ = asked("chat", messages=history, functions=[{"name": "look"}], function_call={"name": "look"})
        assert request["tool_choice"] == {"type": "function", "name": "look"}
        assert [item["call_id"] for item in request["input"][1:]] == ["call_1", "call_1"]

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            (
                {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
                "messages[0].content[0].type",
            ),
            ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
            ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
            ({"messages": [USER, {"role": "assistant", "content": "x", "tool_calls": 1}]}, "messages[1].tool_calls"),
            ({"messages": []}, "messages"),
            ({"tools": [{"type": "mcp"}]}, "tools[0].mcp.name"),
            ({"tools": 5}, "tools"),
            ({"previous_response_id": "resp_1"}, "previous_response_id"),
            ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ],
    )
    def test_what_cannot_be_said_is_a_400_that_names_it(self, fields, param):
        with pytest.raises(EdgeError) as error:
            asked("chat", **fields)
        assert (error.value.status, error.value.param) == (400, param)
