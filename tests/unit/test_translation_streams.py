"""Streams in each direction: order, interleaving, ends, errors."""

from __future__ import annotations

import json

import pytest

from edge.dialects.anthropic_to_openai_answer import translate_answer as to_completion
from edge.dialects.anthropic_to_openai_stream import StreamTranslator as ToOpenAI
from edge.dialects.openai_to_anthropic_answer import translate_answer as to_message
from edge.dialects.openai_to_anthropic_stream import StreamTranslator as ToAnthropic
from edge.dialects.translation import Context
from edge.errors import UpstreamBadResponse, UpstreamTimeout
from tests.unit.translating import NOW, chunks_of, completion_of, events_of, given, message_of, run, sse

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 2,
            "output_tokens": 1,
        },
    },
}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def block(index, kind, **fields):
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def delta(index, kind, **fields):
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", **fields}}


def stop(index):
    return {"type": "content_block_stop", "index": index}


def end(reason="end_turn", **usage):
    fields = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": fields, "usage": {"output_tokens": 9, **usage}}


def text(index, *pieces):
    return [block(index, "text", text=""), *(delta(index, "text", text=piece) for piece in pieces), stop(index)]


def tool(index, call_id, *pieces, name="look"):
    start = block(index, "tool_use", id=call_id, name=name, input={})
    return [start, *(delta(index, "input_json", partial_json=piece) for piece in pieces), stop(index)]


def chunk(finish=None, **fields):
    choice = {"index": 0, "delta": fields, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt",
        "choices": [choice],
    }


def piece(index, arguments=None, call_id=None, name=None):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"index": index, "function": function} | ({"id": call_id, "type": "function"} if call_id else {})


def counts(**usage):
    return {**chunk(), "choices": [], "usage": usage}


USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 9,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


class TestToOpenAI:
    def test_a_stream_of_everything_is_the_whole_answer_in_pieces(self):
        events = [
            *(START, PING, block(0, "thinking", thinking="", signature="")),
            *(delta(0, "thinking", thinking="h"), delta(0, "thinking", thinking="m")),
            *(delta(0, "signature", signature="c2ln+/="), stop(0)),
            *(block(1, "redacted_thinking", data="eA=="), stop(1)),
            *text(2, "let ", "me see 🦜"),
            *tool(3, "toolu_1", "", '{"a"', ": 1.10}"),
            *(block(4, "server_tool_use", id="srvtoolu_1", name="web_search", input={}),),
            *(delta(4, "input_json", partial_json='{"query"'), delta(4, "input_json", partial_json=': "x"}'), stop(4)),
            *(block(5, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[]), stop(5)),
            *tool(6, "toolu_2"),
            *(end("tool_use"), STOP),
        ]
        content = [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln+/="},
            {"type": "redacted_thinking", "data": "eA=="},
            {"type": "text", "text": "let me see 🦜"},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1.10}},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}},
        ]
        whole = START["message"] | {"content": content, "stop_reason": "tool_use"}
        whole["usage"] = whole["usage"] | {"output_tokens": 9}
        stream = run(ToOpenAI(Context(include_usage=True), NOW), sse(*events))
        completion = completion_of(stream)
        expected = json.loads(to_completion(json.dumps(whole).encode(), Context(), NOW))
        said = completion["choices"][0]["message"]
        for call in (*said["tool_calls"], *expected["choices"][0]["message"]["tool_calls"]):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        assert completion == expected
        assert completion["usage"] == USAGE
        assert said["thinking_blocks"][0]["signature"] == "c2ln+/="
        calls = [
            piece
            for chunk in chunks_of(stream)
            for choice in chunk["choices"]
            for piece in choice["delta"].get("tool_calls", ())
        ]
        assert [call["index"] for call in calls] == [0, 0, 0, 1, 1]

    def test_counts_are_totals_and_a_missing_one_zeroes_nothing(self):
        events = [START, *text(0, "x"), end(), end(output_tokens=12, input_tokens=6), STOP]
        completion = completion_of(run(ToOpenAI(Context(include_usage=True), NOW), sse(*events)))
        assert (completion["usage"]["prompt_tokens"], completion["usage"]["completion_tokens"]) == (11, 12)

    def test_usage_comes_only_if_asked_for_and_then_once_and_last(self):
        events = sse(START, *text(0, "x"), end(), STOP)
        assert all("usage" not in chunk for chunk in chunks_of(run(ToOpenAI(Context(), NOW), events)))
        chunks = chunks_of(run(ToOpenAI(Context(include_usage=True), NOW), events))
        assert [chunk["usage"] is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
        assert chunks[-1]["choices"] == []

    def test_nothing_goes_out_before_the_first_content(self):
        translator = ToOpenAI(Context(), NOW)
        assert translator.feed(events_of(sse(START, PING, block(0, "text", text="")))) == b""
        assert b'"role":"assistant"' in translator.feed(events_of(sse(delta(0, "text", text="x"))))

    def test_a_citation_of_a_page_is_an_annotation_with_its_place(self):
        citation = {
            "type": "web_search_result_location",
            "url": "https://x",
            "title": "X",
            "encrypted_index": "e",
            "cited_text": "c",
        }
        events = [
            START,
            *text(0, "ab"),
            block(1, "text", text="", citations=[]),
            delta(1, "citations", citation=citation),
        ]
        events += [delta(1, "text", text="cde"), stop(1), end(), STOP]
        said = completion_of(run(ToOpenAI(Context(), NOW), sse(*events)))["choices"][0]["message"]
        fields = {"start_index": 2, "end_index": 5, "title": "X", "url": "https://x"}
        assert said["annotations"] == [{"type": "url_citation", "url_citation": fields}]

    def test_an_unwrapped_structured_output_is_the_content_and_no_call(self):
        context = Context(output_tool="json_output")
        events = [
            START,
            *text(0, "Here:"),
            *tool(1, "toolu_1", '{"a":', "1}", name="json_output"),
            end("tool_use"),
            STOP,
        ]
        choice = completion_of(run(ToOpenAI(context, NOW), sse(*events)))["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ('{"a":1}', "stop")
        assert "tool_calls" not in choice["message"]
        events = [START, *text(0, "I ", "cannot."), end(), STOP]
        choice = completion_of(run(ToOpenAI(Context(output_tool="json_output"), NOW), sse(*events)))["choices"][0]
        assert choice["message"]["content"] == "I cannot."

    def test_names_that_were_changed_are_the_clients_again(self):
        context = Context(tool_names={"look": "look.up"})
        said = completion_of(run(ToOpenAI(context, NOW), sse(START, *tool(0, "toolu_1"), end("tool_use"), STOP)))
        assert said["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look.up"

    def test_functions_of_old_are_answered_as_such(self):
        context = Context(legacy_functions=True)
        choice = completion_of(
            run(ToOpenAI(context, NOW), sse(START, *tool(0, "toolu_1", '{"a":1}'), end("tool_use"), STOP))
        )["choices"][0]
        assert choice["message"]["function_call"] == {"name": "look", "arguments": '{"a":1}'}
        assert choice["finish_reason"] == "function_call"

    @pytest.mark.parametrize("when", [[], text(0, "x")[:2]])
    def test_an_error_is_an_error_with_nothing_after_it(self, when):
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        translator = ToOpenAI(Context(), NOW)
        out = translator.feed(events_of(sse(START, *when, error, *text(1, "y"), STOP))) + translator.finish()
        *_, (_, last) = events_of(out)
        fields = {"message": "Overloaded", "type": "server_error", "param": None, "code": "overloaded"}
        assert json.loads(last) == {"error": fields}
        assert b"[DONE]" not in out

    def test_a_stream_cut_off_ends_in_an_error_and_not_in_done(self):
        out = run(ToOpenAI(Context(), NOW), sse(START, *text(0, "x")))
        assert json.loads(events_of(out)[-1][1])["error"]["code"] == "upstream_stream_broken"
        assert b"[DONE]" not in out
        assert b'"finish_reason":"' not in out

    def test_a_failure_of_ours_is_one_clients_and_the_others_go_on(self):
        translator = ToOpenAI(Context(), NOW)
        translator.feed(events_of(sse(START, *text(0, "x"))))
        assert b'"code":"timeout"' in translator.fail(UpstreamTimeout(), "r")
        assert b'"content":"y"' in translator.feed(events_of(sse(text(0, "y")[1])))

    def test_what_nobody_knows_is_passed_over_and_noted(self):
        context = Context()
        events = [
            START,
            {"type": "event_of_next_year"},
            block(0, "block_of_next_year"),
            delta(0, "delta_of_next_year"),
            stop(0),
        ]
        events += [*text(1, "x"), end("reason_of_next_year"), STOP]
        choice = completion_of(run(ToOpenAI(context, NOW), sse(*events)))["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("x", "stop")
        assert context.warnings == {"event", "delta", "stop_reason"}

    def test_an_event_that_is_no_json_is_the_providers_fault(self):
        with pytest.raises(UpstreamBadResponse):
            ToOpenAI(Context(), NOW).feed([(b"message_start", b"{")])

    def test_events_without_names_are_known_by_their_type(self):
        stream = sse(START, *text(0, "x"), end(), STOP)
        bare = b"\n".join(line for line in stream.split(b"\n") if not line.startswith(b"event"))
        assert run(ToOpenAI(Context(), NOW), bare) == run(ToOpenAI(Context(), NOW), stream)


class TestToAnthropic:
    def test_a_stream_of_everything_is_the_whole_answer_in_pieces(self):
        chunks = [
            *(chunk(role="assistant", content=""), chunk(reasoning_content="h"), chunk(reasoning_content="m")),
            *(chunk(content="let "), chunk(content="me see 🦜")),
            *(chunk(tool_calls=[piece(0, "", "call_1", "look")]), chunk(tool_calls=[piece(0, '{"a"')])),
            *(chunk(tool_calls=[piece(0, ":1}")]), chunk(tool_calls=[piece(1, "", "call_2", "leap")])),
            *(chunk("tool_calls"), counts(**USAGE), "[DONE]"),
        ]
        whole = completion_of(sse(*chunks)) | {"usage": USAGE}
        message = message_of(run(ToAnthropic(Context()), sse(*chunks)))
        assert message == json.loads(to_message(json.dumps(whole).encode(), Context()))
        assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use", "tool_use"]
        assert message["content"][2]["input"] == {"a": 1}
        assert message["content"][3]["input"] == {}
        assert message["stop_reason"] == "tool_use"
        assert given(message["usage"]) == {
            "input_tokens": 5,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3,
            "output_tokens": 9,
        }

    def test_each_piece_goes_out_as_it_comes(self):
        translator = ToAnthropic(Context())
        assert b"message_start" in translator.feed(events_of(sse(chunk(role="assistant", content=""))))
        for word in ("a", "b"):
            assert b'"text":"%b"' % word.encode() in translator.feed(events_of(sse(chunk(content=word))))
        translator.feed(events_of(sse(chunk(tool_calls=[piece(0, "", "call_1", "look")]))))
        assert b'"partial_json":"{"' in translator.feed(events_of(sse(chunk(tool_calls=[piece(0, "{")]))))

    def test_interleaved_calls_come_out_one_after_the_other_and_whole(self):
        chunks = [
            chunk(tool_calls=[piece(0, "", "call_1", "look"), piece(1, "", "call_2", "leap")]),
            *(chunk(tool_calls=[piece(0, '{"a":')]), chunk(tool_calls=[piece(1, '{"b":')])),
            *(chunk(tool_calls=[piece(0, "1}")]), chunk(tool_calls=[piece(1, "2}")])),
            *(chunk("tool_calls"), "[DONE]"),
        ]
        content = message_of(run(ToAnthropic(Context()), sse(*chunks)))["content"]
        assert [(block["id"], block["name"], block["input"]) for block in content] == [
            ("call_1", "look", {"a": 1}),
            ("call_2", "leap", {"b": 2}),
        ]

    def test_a_call_waits_for_its_id_and_its_name(self):
        chunks = [
            *(chunk(tool_calls=[piece(0, '{"a":')]), chunk(tool_calls=[piece(0, "1", call_id="call_1")])),
            *(chunk(tool_calls=[piece(0, "}", name="look")]), chunk("tool_calls"), "[DONE]"),
        ]
        content = message_of(run(ToAnthropic(Context()), sse(*chunks)))["content"]
        assert [given(block) for block in content] == [
            {"type": "tool_use", "id": "call_1", "name": "look", "input": {"a": 1}}
        ]

    def test_servers_without_indexes_or_with_the_same_for_all_are_understood(self):
        for indexes in ((None, None), (0, 0)):
            chunks = [
                chunk(tool_calls=[piece(index, f'{{"n":{number}}}', f"call_{number}", "look")])
                for number, index in enumerate(indexes)
            ]
            content = message_of(run(ToAnthropic(Context()), sse(*chunks, chunk("tool_calls"), "[DONE]")))["content"]
            assert [(block["id"], block["input"]) for block in content] == [("call_0", {"n": 0}), ("call_1", {"n": 1})]

    def test_a_call_without_an_id_is_given_one(self):
        chunks = [chunk(tool_calls=[piece(0, "{}", name="look")]), chunk("tool_calls"), "[DONE]"]
        first, second = (message_of(run(ToAnthropic(Context()), sse(*chunks)))["content"][0]["id"] for _ in range(2))
        assert first == second
        assert first.startswith("toolu_")

    def test_text_between_calls_is_a_block_of_its_own(self):
        chunks = [
            *(chunk(content="a"), chunk(tool_calls=[piece(0, "{}", "call_1", "look")]), chunk(content="b")),
            *(chunk(tool_calls=[piece(1, "{}", "call_2", "look")]), chunk("tool_calls"), "[DONE]"),
        ]
        content = message_of(run(ToAnthropic(Context()), sse(*chunks)))["content"]
        assert [block["type"] for block in content] == ["text", "tool_use", "text", "tool_use"]

    def test_text_within_a_call_waits_for_its_end(self):
        chunks = [
            *(
                chunk(tool_calls=[piece(0, '{"a"', "call_1", "look")]),
                chunk(content="x"),
                chunk(tool_calls=[piece(0, ":1}")]),
            ),
            *(chunk(content="y"), chunk("tool_calls"), "[DONE]"),
        ]
        content = message_of(run(ToAnthropic(Context()), sse(*chunks)))["content"]
        assert content[0]["input"] == {"a": 1}
        assert [given(block) for block in content[1:]] == [{"type": "text", "text": "xy"}]

    @pytest.mark.parametrize("last", [["[DONE]"], []])
    def test_with_or_without_done_a_finish_reason_ends_the_message(self, last):
        message = message_of(run(ToAnthropic(Context()), sse(chunk(content="x"), chunk("length"), *last)))
        assert message["stop_reason"] == "max_tokens"

    def test_a_stream_cut_off_ends_in_an_error_and_no_message_stop(self):
        out = run(ToAnthropic(Context()), sse(chunk(content="x")))
        name, data = events_of(out)[-1]
        assert name == b"error"
        assert json.loads(data)["error"]["type"] == "api_error"
        assert b"message_stop" not in out

    def test_an_error_within_is_an_error_event_with_nothing_after_it(self):
        error = {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}
        out = run(ToAnthropic(Context(request_id="req_1")), sse(chunk(content="x"), error, chunk("stop"), "[DONE]"))
        name, data = events_of(out)[-1]
        fields = {"type": "rate_limit_error", "message": "slow down"}
        assert (name, json.loads(data)) == (b"error", {"type": "error", "error": fields, "request_id": "req_1"})

    def test_counts_are_estimated_and_marked_where_there_are_none(self):
        context = Context(input_tokens=7)
        message = message_of(run(ToAnthropic(context), sse(chunk(content="x" * 40), chunk("stop"), "[DONE]")))
        assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (7, 9)
        assert message["usage"]["estimated"] is True
        assert (context.told.input, context.told.output) == (7, 9)
        assert "usage_estimated" in context.warnings

    def test_arguments_cut_off_are_noted(self):
        context = Context()
        out = run(
            ToAnthropic(context),
            sse(chunk(tool_calls=[piece(0, '{"a":', "call_1", "look")]), chunk("length"), "[DONE]"),
        )
        assert b"max_tokens" in out
        assert context.warnings == {"arguments", "usage_estimated"}

    def test_an_event_that_is_no_json_is_the_providers_fault(self):
        with pytest.raises(UpstreamBadResponse):
            ToAnthropic(Context()).feed([(b"message", b"<html>")])
