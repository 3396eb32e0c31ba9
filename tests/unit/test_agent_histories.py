"""What agents of Anthropic's dialect send on their tenth turn, before a server in OpenAI's: odd turns, long names.

Every request goes through a strict reader of OpenAI's rules: contents that are not null, arguments that are JSON, results
that answer calls, names of at most 64 plain characters.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from edge.dialects.translation import ToolNames, short_name
from edge.dialects.translators import TRANSLATORS
from edge.errors import InvalidValue
from edge.simulator.validate import check_openai
from tests.unit.test_translation_streams import chunk, piece
from tests.unit.translating import NOW, USER, call, chat, check_chat_request, messages, run, sse
from tests.unit.translating import to_openai as translate_request

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MARK = {"type": "ephemeral"}
SAMPLE = {
    "max_tokens": 1,
    "system": "S",
    "messages": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "", "cache_control": MARK}, {"type": "text", "text": "go"}],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": ""}, {"type": "tool_use", "id": "t1", "name": "now", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": []}]},
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "and?"},
    ],
}


def sent(model="local", system_first=False, **fields):
    """The request, once OpenAI's rules have been applied to it."""
    body = json.dumps({"model": "x", "max_tokens": 9, **fields}).encode()
    request = check_chat_request(translate_request(body, model, system_first=system_first).body)
    assert check_openai("/v1/chat/completions", request) is None
    for message in request["messages"]:
        for made in message.get("tool_calls", ()):
            assert isinstance(json.loads(made["function"]["arguments"]), dict)
            assert NAME.fullmatch(made["function"]["name"])
    for tool in request.get("tools", ()):
        assert NAME.fullmatch(tool["function"]["name"])
    return request


def roles(request):
    return [message["role"] for message in request["messages"]]


class TestOddTurns:
    def test_a_system_message_stays_where_it_stands_and_what_is_empty_goes(self):
        request = sent(**SAMPLE)
        assert request["messages"] == [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": None, "tool_calls": [call("t1", "now")]},
            {"role": "tool", "tool_call_id": "t1", "content": ""},
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "and?"},
        ]

    @pytest.mark.parametrize(
        ("system_first", "expected"),
        [
            (False, ["user", "assistant", "tool", "tool", "system", "user"]),
            (True, ["user", "assistant", "tool", "tool", "user"]),
        ],
    )
    def test_results_follow_their_calls_though_instructions_came_between(self, system_first, expected):
        uses = [{"type": "tool_use", "id": name, "name": "now", "input": {}} for name in ("t1", "t2")]
        results = [{"type": "tool_result", "tool_use_id": name, "content": name} for name in ("t1", "t2")]
        history = [
            USER,
            {"role": "assistant", "content": uses},
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [*results, {"type": "text", "text": "and?"}]},
        ]
        request = sent(max_tokens=1, messages=history, system_first=system_first)
        assert roles(request) == expected
        assert [each["tool_call_id"] for each in request["messages"] if each["role"] == "tool"] == ["t1", "t2"]

    def test_a_server_that_wants_it_first_gets_it_as_a_users_turn_in_its_place(self):
        request = sent(system_first=True, **SAMPLE)
        assert roles(request) == ["system", "user", "assistant", "tool", "user"]
        assert request["messages"][0] == {"role": "system", "content": "S"}
        assert request["messages"][-1] == {"role": "user", "content": "be brief\n\nand?"}

    @pytest.mark.parametrize(
        ("history", "expected"),
        [
            (
                [{"role": "system", "content": "a"}, USER],
                [{"role": "system", "content": "S\n\na"}, {"role": "user", "content": "hi"}],
            ),
            (
                [USER, {"role": "system", "content": "a"}, {"role": "system", "content": "b"}],
                [{"role": "system", "content": "S"}, {"role": "user", "content": "hi\n\na\n\nb"}],
            ),
            (
                [USER, USER, {"role": "assistant", "content": "yes"}, {"role": "system", "content": "a"}],
                [
                    {"role": "system", "content": "S"},
                    {"role": "user", "content": "hi\n\nhi"},
                    {"role": "assistant", "content": "yes"},
                    {"role": "user", "content": "a"},
                ],
            ),
        ],
    )
    def test_nothing_is_lost_or_moved_before_what_it_follows(self, history, expected):
        assert sent(system_first=True, system="S", messages=history)["messages"] == expected

    def test_pictures_and_texts_of_one_turn_stay_in_order(self):
        picture = {"type": "image", "source": {"type": "url", "url": "https://x/a.png"}}
        history = [{"role": "user", "content": [picture]}, {"role": "system", "content": "a"}, USER]
        (turn,) = sent(system_first=True, messages=history)["messages"]
        assert [part.get("text", "picture") for part in turn["content"]] == ["picture", "a", "hi"]

    def test_the_mark_of_an_empty_block_moves_to_the_block_before(self):
        marked = {"type": "text", "text": "", "cache_control": MARK}
        mark = {"mode": "explicit"}
        request, result = chat(
            "gpt-5.6", messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, marked]}]
        )
        assert request["messages"][0]["content"][0]["prompt_cache_breakpoint"] == mark
        request, result = chat("gpt-5.6", **SAMPLE)
        (part,) = request["messages"][0]["content"]
        assert part == {"type": "text", "text": "S", "prompt_cache_breakpoint": mark}
        assert result.dropped == ()

    def test_an_empty_turn_is_a_turn(self):
        history = [USER, {"role": "assistant", "content": "yes"}, {"role": "user", "content": ""}]
        assert sent(messages=history)["messages"][-1] == {"role": "user", "content": ""}
        empty = [{"type": "text", "text": ""}]
        assert sent(messages=[*history[:2], {"role": "user", "content": empty}])["messages"][-1]["content"] == ""

    @pytest.mark.parametrize("given", ["", " ", None, {}, "{}"])
    def test_a_call_without_arguments_is_one_however_it_was_kept(self, given):
        use = {"type": "tool_use", "id": "t1", "name": "now", "input": given}
        result = {"type": "tool_result", "tool_use_id": "t1"}
        history = [USER, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        assert sent(messages=history)["messages"][1]["tool_calls"] == [call("t1", "now")]

    @pytest.mark.parametrize("given", ["x", "[1]", 5, [1]])
    def test_an_input_that_is_no_object_is_refused(self, given):
        with pytest.raises(InvalidValue):
            sent(
                messages=[
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": given}]}
                ]
            )

    def test_a_call_streamed_without_arguments_can_be_sent_back(self):
        stream = sse(chunk(tool_calls=[piece(0, "", "t1", "now")]), chunk("tool_calls"), "[DONE]")
        out = run(
            TRANSLATORS["messages", "chat"].stream(translate_request(json.dumps(TURN).encode(), "m").context, NOW),
            stream,
        )
        assert b'"input":{}' in out
        assert b"input_json_delta" not in out


TURN = {"model": "x", "max_tokens": 9, "messages": [USER]}
LONG = "mcp__plugin_chrome-devtools-mcp_chrome-devtools__get_console_message"
LONGS = [LONG, LONG + "s", "ns.tool/with:signs"]


def tool(name):
    return {"name": name, "input_schema": {"type": "object"}}


def turns(name):
    return [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": name, "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]},
    ]


ASKED = {
    "tool_choice": {"type": "tool", "name": LONG},
    "tools": [tool(name) for name in LONGS],
    "messages": turns(LONG),
}


class TestLongNames:
    def test_names_fit_differ_and_are_one_in_tools_choice_and_history(self):
        request = sent(**ASKED)
        names = [made["function"]["name"] for made in request["tools"]]
        assert len(set(names)) == 3
        assert request["tool_choice"]["function"]["name"] == names[0]
        assert request["messages"][1]["tool_calls"][0]["function"]["name"] == names[0]

    def test_they_are_the_same_in_every_turn_and_process(self):
        first = sent(**{**ASKED, "messages": [USER]})
        second = sent(**ASKED)
        assert (second["tools"], second["tool_choice"]) == (first["tools"], first["tool_choice"])
        code = (
            "import json,sys; from edge.dialects.anthropic_to_openai import Request;"
            "sys.stdout.buffer.write(Request('local').at_once(json.loads(sys.argv[1])).body)"
        )
        body = {"model": "x", "max_tokens": 9, **ASKED}
        other = subprocess.run([sys.executable, "-c", code, json.dumps(body)], capture_output=True, check=True).stdout
        assert other == translate_request(json.dumps(body).encode(), "local").body

    def test_a_name_of_the_history_alone_works_too(self):
        request = sent(tools=[tool("now")], messages=turns(LONG))
        assert (
            request["messages"][1]["tool_calls"][0]["function"]["name"] == sent(**ASKED)["tools"][0]["function"]["name"]
        )

    @pytest.mark.parametrize("name", LONGS)
    @pytest.mark.parametrize("where", ["tools", "history"])
    def test_a_tool_that_is_called_so_keeps_its_name(self, name, where):
        short = short_name(name, ToolNames())
        fields = {"tools": [tool(name), tool(short)], "messages": turns(name)}
        if where == "history":
            fields = {"tools": [tool(name)], "messages": turns(short)}
        request = sent(**fields)
        names = [made["function"]["name"] for made in request["tools"]]
        names += [request["messages"][1]["tool_calls"][0]["function"]["name"]] if where == "history" else []
        assert names[1] == short
        assert names[0] != short
        context = translate_request(json.dumps({"model": "x", "max_tokens": 9, **fields}).encode(), "local").context
        assert (context.tool_names.get(names[0]), context.tool_names.get(short)) == (name, None)

    def test_the_answer_has_the_long_names_again_in_its_first_event_too(self):
        body = json.dumps({"model": "x", "max_tokens": 9, **ASKED}).encode()
        for name in LONGS:
            translated = translate_request(body, "local")
            short = short_name(name, translated.context.tool_names)
            made = {"message": {"tool_calls": [call("c1", short)]}, "finish_reason": "tool_calls"}
            answer = TRANSLATORS["messages", "chat"].answer(
                json.dumps({"choices": [made]}).encode(), translated.context, NOW
            )
            assert json.loads(answer)["content"][0]["name"] == name
            stream = sse(chunk(tool_calls=[piece(0, "{}", "c1", short)]), chunk("tool_calls"), "[DONE]")
            events = run(TRANSLATORS["messages", "chat"].stream(translated.context, NOW), stream).split(b"\n\n")
            started = next(event for event in events if b"content_block_start" in event)
            assert json.loads(started.partition(b"data: ")[2])["content_block"]["name"] == name

    def test_so_it_is_from_openai_to_anthropic(self):
        function = {"type": "function", "function": {"name": LONG, "parameters": {"type": "object"}}}
        own = {
            "type": "function",
            "function": {"name": short_name(LONG, ToolNames()), "parameters": {"type": "object"}},
        }
        request, result = messages(tools=[function, own])
        first, second = (made["name"] for made in request["tools"])
        assert second == own["function"]["name"] != first
        assert result.context.tool_names == {first: LONG}
