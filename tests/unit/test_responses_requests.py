"""Requests of Responses for APIs that keep nothing: what crosses, in what words, and what is refused."""

from __future__ import annotations

import json

import pytest

from edge.errors import EdgeError
from tests.unit.responses_back import SEAL, sent
from tests.unit.translating import PDF, PNG

CLAUDE, LOCAL = ("messages", "claude-opus-4-6"), ("chat", "llama-3")
BOTH = pytest.mark.parametrize("target", [CLAUDE, LOCAL], ids=["messages", "chat"])
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Patches.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: LINE"},
}
USER = {"role": "user", "content": "hi"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "Eu8B"}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEAL.thinking(THOUGHT)}
FOREIGN = {
    "type": "reasoning",
    "id": "rs_2",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "gAAA",
}


def called(call_id="call_1", name="look", arguments='{"a":1}', **more):
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


def output(call_id="call_1", what="42", kind="function_call_output"):
    return {"type": kind, "call_id": call_id, "output": what}


def said(text):
    parts = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": parts}


def refusal(target, **fields):
    with pytest.raises(EdgeError) as caught:
        sent(*target, **fields)
    assert caught.value.status == 400
    return caught.value


class TestInput:
    def test_a_string_is_what_a_user_says(self):
        assert sent(*CLAUDE)[0]["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
        assert sent(*LOCAL)[0]["messages"] == [{"role": "user", "content": "hi"}]

    def test_instructions_come_first(self):
        assert sent(*CLAUDE, instructions="Be brief.")[0]["system"] == [{"type": "text", "text": "Be brief."}]
        assert sent(*LOCAL, instructions="Be brief.")[0]["messages"][0] == {"role": "system", "content": "Be brief."}

    def test_a_turn_keeps_the_order_of_its_items_for_anthropic(self):
        items = [USER, SEALED, said("Let me look."), {**SEALED, "id": "rs_3"}, called(), output(), said("It is 42.")]
        body, _ = sent(*CLAUDE, input=items, tools=[LOOK])
        assert [(turn["role"], [block["type"] for block in turn["content"]]) for turn in body["messages"]] == [
            ("user", ["text"]),
            ("assistant", ["thinking", "text", "thinking", "tool_use"]),
            ("user", ["tool_result"]),
            ("assistant", ["text"]),
        ]
        assert body["messages"][1]["content"][0] == THOUGHT
        call = body["messages"][1]["content"][3]
        assert (call["id"], call["name"], call["input"]) == ("call_1", "look", {"a": 1})

    def test_a_turn_is_one_message_for_chat_completions(self):
        items = [
            USER,
            called("call_1"),
            called("call_2"),
            said("Two at once."),
            output("call_1"),
            output("call_2", "43"),
        ]
        body, _ = sent(*LOCAL, input=items, tools=[LOOK])
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "tool"]
        assert body["messages"][1]["content"] == "Two at once."
        assert [call["id"] for call in body["messages"][1]["tool_calls"]] == ["call_1", "call_2"]
        assert body["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": "42"}

    def test_results_follow_their_calls_though_somebody_spoke_between(self):
        items = [USER, called("call_1"), {"role": "developer", "content": "Hurry."}, output("call_1")]
        body, _ = sent(*LOCAL, input=items)
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "system"]

    def test_pictures_and_files_cross_in_messages_and_in_results(self):
        parts = [
            {"type": "input_text", "text": "Look:"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
        ]
        items = [{"role": "user", "content": parts}, called(), output(what=parts)]
        body, _ = sent(*CLAUDE, input=items)
        kinds = ["text", "image", "document"]
        assert [block["type"] for block in body["messages"][0]["content"]] == kinds
        assert [block["type"] for block in body["messages"][2]["content"][0]["content"]] == kinds
        body, _ = sent(*LOCAL, input=items)
        assert [part["type"] for part in body["messages"][0]["content"]] == ["text", "image_url", "file"]
        assert body["messages"][2]["content"] == "Look:"
        carried = body["messages"][3]["content"]
        assert [part["type"] for part in carried] == ["text", "image_url", "text", "file"]
        assert carried[0]["text"] == "[From the result of tool call call_1:]"

    def test_a_files_address_is_passed_on_where_it_may_be(self):
        items = [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a/b.pdf"}]}]
        body, _ = sent(*CLAUDE, input=items)
        assert body["messages"][0]["content"][0]["source"] == {"type": "url", "url": "https://a/b.pdf"}
        assert refusal(LOCAL, input=items).param == "input[0].content[0].file_url"

    def test_thoughts_of_others_stay_behind_and_are_named(self):
        for target in (CLAUDE, LOCAL):
            _, made = sent(*target, input=[USER, FOREIGN, said("Yes."), USER])
            assert made.dropped == ("input.reasoning",)
            assert refusal(target, input=[USER, FOREIGN, said("Yes."), USER], strict=True).param == "input.reasoning"

    def test_a_chat_model_that_wants_its_thoughts_back_gets_them(self):
        from tests.unit.responses_back import opened

        made = opened("chat", "deepseek-chat")
        made.at_once({"model": "x", "input": [USER, FOREIGN, called(), output()]})
        assert made.result["messages"][1]["reasoning_content"] == "Hm."

    @BOTH
    @pytest.mark.parametrize(
        ("items", "param"),
        [
            ([USER, {"type": "item_reference", "id": "msg_1"}], "input[1].type"),
            ([{"type": "compaction", "encrypted_content": "x"}, USER], "input[0].type"),
            ([USER, {"type": "local_shell_call", "call_id": "c", "action": "ls"}], "input[1].action"),
            ([USER, {"type": "computer_call", "call_id": "c", "action": {}}], "input[1].type"),
            ([USER, output("call_9")], "input[1].call_id"),
            ([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "input[0].content[0].file_id"),
            ([{"role": "user", "content": [{"type": "input_audio"}]}], "input[0].content[0].type"),
            ([{"role": "robot", "content": "x"}], "input[0].role"),
            ([{"role": "user"}], "input[0].content"),
            ([USER, {"type": "function_call", "name": "x", "arguments": "{}"}], "input[1].call_id"),
            (["hi"], "input[0]"),
            (7, "input"),
        ],
    )
    def test_what_means_nothing_there_is_refused_by_its_name(self, target, items, param):
        assert refusal(target, input=items).param == param

    def test_what_the_other_dialect_refuses_is_told_in_the_clients_words(self):
        svg = [{"type": "input_image", "image_url": "data:image/svg+xml;base64,AA=="}]
        error = refusal(CLAUDE, input=[{"role": "user", "content": svg}])
        assert error.param == "input[0].content[0].image_url"
        assert "messages" not in error.message
        assert refusal(CLAUDE, input=[USER, called(), output(what=svg)]).param == "input[2].output[0].image_url"


WRITTEN = [{"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
LEARNT = {
    "local_shell": (
        {"type": "local_shell"},
        {
            "type": "local_shell_call",
            "call_id": "call_1",
            "action": {"type": "exec", "command": ["ls", "-l"], "env": {"A": "1"}, "timeout_ms": None},
        },
        {"type": "local_shell_call_output", "id": "call_1", "output": '{"output":"a"}'},
        '{"output":"a"}',
    ),
    "shell": (
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "shell_call", "call_id": "call_1", "action": {"commands": ["ls", "pwd"], "timeout_ms": 9}},
        {"type": "shell_call_output", "call_id": "call_1", "output": WRITTEN, "max_output_length": 9},
        json.dumps(WRITTEN, separators=(",", ":")),
    ),
    "apply_patch": (
        {"type": "apply_patch"},
        {
            "type": "apply_patch_call",
            "call_id": "call_1",
            "status": "completed",
            "operation": {"type": "update_file", "path": "a.py", "diff": "@@\n-a\n+b"},
        },
        {"type": "apply_patch_call_output", "call_id": "call_1", "status": "failed", "output": "no such line"},
        "Failed: no such line",
    ),
}
"""A tool, a call of it, the call's result, and what the model is told of that."""


class TestTools:
    def test_a_function_crosses(self):
        body, _ = sent(*CLAUDE, tools=[{**LOOK, "description": "Looks."}])
        assert body["tools"] == [{"name": "look", "description": "Looks.", "input_schema": LOOK["parameters"]}]
        body, _ = sent(*LOCAL, tools=[LOOK])
        assert body["tools"][0]["function"] == {"name": "look", "parameters": LOOK["parameters"]}

    @BOTH
    def test_a_custom_tool_is_a_function_of_one_text_that_is_told_its_grammar(self, target):
        patch = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"}
        items = [USER, patch, output("c", kind="custom_tool_call_output")]
        body, made = sent(*target, input=items, tools=[PATCH], tool_choice={"type": "custom", "name": "apply_patch"})
        (tool,) = body["tools"]
        function = tool.get("function", tool)
        assert "start: LINE" in function["description"]
        assert list((function.get("input_schema") or function["parameters"])["properties"]) == ["input"]
        assert made.context.client_tools["apply_patch"].kind == "custom"
        turn = body["messages"][1]
        if target is CLAUDE:
            assert turn["content"][0]["input"] == {"input": "*** Begin"}
            assert body["tool_choice"] == {"type": "tool", "name": "apply_patch"}
        else:
            assert turn["tool_calls"][0]["function"]["arguments"] == '{"input":"*** Begin"}'
            assert body["tool_choice"] == {"type": "function", "function": {"name": "apply_patch"}}

    @BOTH
    def test_a_namespaces_functions_are_told_apart(self, target):
        spaces = [{"type": "namespace", "name": name, "description": "", "tools": [LOOK]} for name in ("a", "b")]
        items = [USER, called(namespace="b"), output()]
        body, made = sent(*target, input=items, tools=[LOOK, *spaces])
        names = [tool.get("function", tool)["name"] for tool in body["tools"]]
        assert names == ["look", "a__look", "b__look"]
        assert made.context.client_tools["b__look"].namespace == "b"

    def test_a_search_of_the_web_is_anthropics_own(self):
        location = {"type": "approximate", "city": "Paris", "country": "FR"}
        search = {"type": "web_search", "user_location": location, "filters": {"allowed_domains": ["a.org"]}}
        body, _ = sent(*CLAUDE, tools=[search])
        assert body["tools"] == [
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "user_location": location,
                "allowed_domains": ["a.org"],
            }
        ]
        error = refusal(LOCAL, tools=[search])
        assert "web_search" in error.message
        assert error.param == "tools[0].type"

    @BOTH
    @pytest.mark.parametrize(
        "kind", ["file_search", "code_interpreter", "mcp", "computer", "image_generation", "shell"]
    )
    def test_tools_that_openai_runs_are_refused_by_name(self, target, kind):
        error = refusal(target, tools=[LOOK, {"type": kind}])
        assert error.param == "tools[1].type"
        assert f"'{kind}'" in error.message

    @BOTH
    @pytest.mark.parametrize("environment", [None, {"type": "container_auto"}, {"type": "container_reference"}])
    def test_a_shell_that_is_not_the_clients_own_is_refused(self, target, environment):
        assert refusal(target, tools=[{"type": "shell", "environment": environment}]).param == "tools[0].type"

    @BOTH
    @pytest.mark.parametrize("tool", LEARNT)
    def test_a_tool_that_openais_models_have_learnt_is_a_function(self, target, tool):
        made_of, call, result, said = LEARNT[tool]
        items = [USER, call, result]
        body, made = sent(*target, input=items, tools=[made_of], tool_choice={"type": tool})
        arguments = call.get("action") or call.get("operation")
        arguments = {name: value for name, value in arguments.items() if value is not None and value != "exec"}
        if target is CLAUDE:
            assert [each["name"] for each in body["tools"]] == [tool] == [body["tool_choice"]["name"]]
            (block,) = body["messages"][1]["content"]
            assert (block["name"], block["input"], block["id"]) == (tool, arguments, "call_1")
            content = body["messages"][2]["content"][0]["content"]
            assert (content if isinstance(content, str) else content[0]["text"]) == said
        else:
            assert [each["function"]["name"] for each in body["tools"]] == [tool]
            (called_,) = body["messages"][1]["tool_calls"]
            assert json.loads(called_["function"]["arguments"]) == arguments
            assert body["messages"][2]["content"] == said
        assert made.context.client_tools[tool].kind == tool
        assert made.dropped == ()

    @BOTH
    @pytest.mark.parametrize(
        ("choice", "anthropic", "openai"),
        [
            ("auto", {"type": "auto"}, "auto"),
            ("none", {"type": "none"}, "none"),
            ("required", {"type": "any"}, "required"),
            (
                {"type": "function", "name": "look"},
                {"type": "tool", "name": "look"},
                {"type": "function", "function": {"name": "look"}},
            ),
            (
                {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]},
                {"type": "any"},
                "required",
            ),
        ],
    )
    def test_every_choice_of_a_tool(self, target, choice, anthropic, openai):
        body, _ = sent(*target, tools=[LOOK, PATCH], tool_choice=choice)
        assert body["tool_choice"] == (anthropic if target is CLAUDE else openai)
        if isinstance(choice, dict) and choice["type"] == "allowed_tools":
            assert len(body["tools"]) == 1

    @BOTH
    def test_a_choice_of_what_is_not_there_is_refused(self, target):
        assert refusal(target, tools=[LOOK], tool_choice={"type": "function", "name": "x"}).param == "tool_choice"
        assert refusal(target, tools=[LOOK], tool_choice={"type": "mcp", "server_label": "x"}).param == "tool_choice"

    def test_one_call_at_a_time(self):
        body, _ = sent(*CLAUDE, tools=[LOOK], parallel_tool_calls=False)
        assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
        assert sent(*LOCAL, tools=[LOOK], parallel_tool_calls=False)[0]["parallel_tool_calls"] is False


class TestFields:
    @BOTH
    @pytest.mark.parametrize("field", ["previous_response_id", "conversation", "prompt", "background"])
    def test_what_is_kept_elsewhere_is_refused_with_the_way_out(self, target, field):
        error = refusal(target, **{field: True if field == "background" else "resp_1"})
        assert error.param == field
        assert "'store': false" in error.message

    def test_limits_and_sampling(self):
        body, _ = sent(*CLAUDE, max_output_tokens=99, temperature=0.5)
        assert (body["max_tokens"], body["temperature"]) == (99, 0.5)
        body, _ = sent(*LOCAL, max_output_tokens=99, temperature=0.5, top_p=0.5)
        assert (body["max_tokens"], body["temperature"], body["top_p"]) == (99, 0.5, 0.5)
        assert sent("chat", "gpt-4o", max_output_tokens=99)[0]["max_completion_tokens"] == 99
        assert refusal(CLAUDE, max_output_tokens="x").param == "max_output_tokens"
        assert refusal(LOCAL, temperature=3).param == "temperature"

    def test_effort_and_summary(self):
        body, _ = sent(*CLAUDE, reasoning={"effort": "high", "summary": "auto"})
        assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
        assert body["output_config"] == {"effort": "high"}
        assert "display" not in sent(*CLAUDE, reasoning={"effort": "high"})[0]["thinking"]
        assert sent("chat", "gpt-5-mini", reasoning={"effort": "low"})[0]["reasoning_effort"] == "low"
        assert sent(*LOCAL, reasoning={"effort": "low"})[1].dropped == ("reasoning.effort",)
        assert refusal(CLAUDE, reasoning={"effort": "enormous"}).param == "reasoning.effort"

    def test_structured_outputs(self):
        schema = {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
            "additionalProperties": False,
        }
        wanted = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}
        assert sent(*CLAUDE, text=wanted)[0]["output_config"]["format"] == {"type": "json_schema", "schema": schema}
        body, _ = sent(*LOCAL, text=wanted)
        assert body["response_format"]["json_schema"] == {"name": "answer", "schema": schema, "strict": True}
        assert sent(*LOCAL, text={"format": {"type": "json_object"}})[0]["response_format"] == {"type": "json_object"}
        assert refusal(LOCAL, text={"format": {"type": "xml"}}).param == "text.format.type"
        assert refusal(CLAUDE, text={"format": {"type": "json_schema", "name": "x"}}).param == "text.format.schema"

    @BOTH
    def test_what_loses_nothing_is_not_named(self, target):
        fields = {"store": False, "truncation": "disabled", "metadata": {}, "include": ["reasoning.encrypted_content"]}
        assert sent(*target, **fields, stream=True, stream_options={"include_obfuscation": False})[1].dropped == ()

    @BOTH
    def test_what_cannot_cross_is_named_in_the_clients_words(self, target):
        fields = {"store": True, "truncation": "auto", "metadata": {"a": "b"}, "include": ["web_search_call.results"]}
        _, made = sent(*target, **fields, text={"verbosity": "low"}, top_logprobs=2)
        assert set(made.dropped) == {
            *("store", "truncation", "metadata", "include.web_search_call.results", "text.verbosity", "top_logprobs"),
        }

    def test_a_stream_always_brings_its_counts(self):
        body, made = sent(*LOCAL, stream=True)
        assert body["stream_options"] == {"include_usage": True}
        assert made.context.stream
        assert sent(*CLAUDE, stream=True)[0]["stream"] is True
