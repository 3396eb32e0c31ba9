"""Unusual but sound requests, and providers that keep to the letter of nothing."""

from __future__ import annotations

import json
import time

import pytest

from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from edge.errors import InvalidRequest, InvalidValue, UpstreamBadResponse
from tests.unit.test_translation_streams import START, STOP, block, chunk, counts, delta, end, piece, stop, text
from tests.unit.translating import (
    CUSTOM,
    NOW,
    PAIRS,
    TOOL,
    USER,
    call,
    chat,
    completion_of,
    events_of,
    message_of,
    messages,
    run,
    sse,
)

MARK = {"type": "ephemeral"}


def streamed(*chunks, context=None):
    return message_of(run(TRANSLATORS["messages", "chat"].stream(context or Context(), NOW), sse(*chunks)))


def texts(message):
    return [block["text"] for block in message["content"]]


class TestRequests:
    @pytest.mark.parametrize(
        "data", ["data:text/plain;base64,ü", "data:text/plain;base64,/w==", "data:text/plain,hi", "ü"]
    )
    def test_a_file_that_is_no_base64_of_text_is_a_400(self, data):
        part = {"type": "file", "file": {"file_data": data}}
        with pytest.raises(InvalidValue) as error:
            messages(messages=[{"role": "user", "content": [part]}])
        assert error.value.param == "messages[0].content[0].file.file_data"

    @pytest.mark.parametrize("url", ["data:image/PNG;name=a.png;base64,AAAA", "DATA:image/png;base64,AAAA"])
    def test_a_data_url_may_have_parameters(self, url):
        part = {"type": "image_url", "image_url": {"url": url}}
        request, _ = messages(messages=[{"role": "user", "content": [part]}])
        source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
        assert request["messages"][0]["content"][0]["source"] == source

    @pytest.mark.parametrize("depth", range(900, 1010, 2))
    def test_arguments_of_any_depth_are_translated_or_refused(self, depth):
        arguments = '{"a":' + "[" * depth + "]" * depth + "}"
        history = [USER, {"role": "assistant", "tool_calls": [call("a", arguments=arguments)]}]
        try:
            TRANSLATORS["chat", "messages"].request(json.dumps({"messages": history}).encode(), "claude-sonnet-4-5")
        except InvalidRequest as error:
            assert error.param.startswith("messages")
        body = json.dumps({"choices": [{"message": {"tool_calls": [call("a", arguments=arguments)]}}]}).encode()
        try:
            TRANSLATORS["messages", "chat"].answer(body, Context(), NOW)
        except UpstreamBadResponse:
            pass

    def test_a_number_no_computer_can_hold_is_refused_and_not_made_null(self):
        history = [USER, {"role": "assistant", "tool_calls": [call("a", arguments='{"a":1e99999999999999999999}')]}]
        with pytest.raises(InvalidValue):
            messages(messages=history)

    def test_functions_beside_tools_are_reported(self):
        request, result = messages(tools=[TOOL], functions=[{"name": "leap"}])
        assert [tool["name"] for tool in request["tools"]] == ["look"]
        assert result.dropped == ("functions",)

    def test_two_calls_of_one_function_of_old_have_their_own_results(self):
        turn = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}}
        result = {"role": "function", "name": "look", "content": "1"}
        request, _ = messages(functions=[{"name": "look"}], messages=[USER, turn, result, turn, result])
        ids = [item["content"][0].get("id") or item["content"][0]["tool_use_id"] for item in request["messages"][1:]]
        assert ids[0] == ids[1] != ids[2] == ids[3]

    def test_a_schema_outside_anthropics_subset_is_not_sent_as_strict(self):
        schema = {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 1}},
            "required": ["n"],
            "additionalProperties": False,
        }
        tool = {"type": "function", "function": {"name": "look", "parameters": schema, "strict": True}}
        request, result = messages(tools=[tool])
        assert request["tools"] == [{"name": "look", "input_schema": schema}]
        assert result.dropped == ("tools.function.strict",)

    def test_markers_of_tools_are_limited_too(self):
        tools = [{"type": "function", "function": {"name": f"t{number}"}, "cache_control": MARK} for number in range(6)]
        marked = {"role": "user", "content": "x", "cache_control": MARK}
        request, result = messages(tools=tools, messages=[marked])
        assert ["cache_control" in tool for tool in request["tools"]] == [False] * 2 + [True] * 4
        assert "cache_control" not in request["messages"][0]["content"][0]
        assert result.dropped == ("cache_control",)

    def test_a_turn_of_nothing_but_thinking_stays_away(self):
        signed = [{"type": "thinking", "thinking": "hm", "signature": "s"}]
        history = [USER, {"role": "assistant", "content": None, "thinking_blocks": signed}, USER]
        request, result = messages(messages=history)
        assert [message["role"] for message in request["messages"]] == ["user", "user"]
        assert result.dropped == ("messages.thinking_blocks",)

    def test_a_budget_of_the_clients_own_fits_below_a_limit_of_ours(self):
        own = {"type": "enabled", "budget_tokens": 20000}
        request, _ = messages(thinking=own)
        assert request["thinking"] == own
        assert request["max_tokens"] > 20000
        assert messages(thinking=own, max_tokens=100)[0]["max_tokens"] == 100

    def test_thinking_of_the_clients_own_gives_way_to_a_forced_tool(self):
        own = {"type": "enabled", "budget_tokens": 2000}
        request, result = messages(thinking=own, tools=[TOOL], tool_choice="required", reasoning_effort="low")
        assert "thinking" not in request
        assert result.dropped == ("reasoning_effort", "thinking")
        request, _ = messages(thinking={"type": "disabled"}, tools=[TOOL], tool_choice="required")
        assert request["thinking"] == {"type": "disabled"}

    def test_an_output_tool_is_forced_where_thinking_is_turned_off(self):
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {}}}}
        request, result = messages("claude-sonnet-4-0", response_format=wanted, thinking={"type": "disabled"})
        assert request["tool_choice"]["name"] == result.context.output_tool

    def test_thinking_of_an_unknown_kind_is_reported(self):
        assert chat("gpt-5", thinking={"type": "of_next_year"})[1].dropped == ("thinking",)

    def test_a_stream_is_asked_for_with_a_boolean(self):
        with pytest.raises(InvalidValue) as error:
            messages(stream="yes")
        assert error.value.param == "stream"

    def test_the_users_identifiers(self):
        one, both, other = (
            messages(**fields)[0]["metadata"]
            for fields in (
                {"user": "u"},
                {"safety_identifier": "u", "user": "x"},
                {"safety_identifier": "", "user": "u"},
            )
        )
        assert one == both == other
        assert "metadata" not in messages(user="")[0]
        with pytest.raises(InvalidValue) as error:
            messages(safety_identifier=5)
        assert error.value.param == "safety_identifier"

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"tools": [{"name": "look", "input_schema": "x"}]}, "tools[0].input_schema"),
            ({"thinking": "on"}, "thinking"),
            ({"stream": "yes"}, "stream"),
            ({"messages": [{"role": "user", "content": ""}], "system": "s"}, "messages"),
            ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ],
    )
    def test_a_wrong_type_is_not_passed_over(self, fields, field):
        with pytest.raises(InvalidValue) as error:
            chat(**fields)
        assert error.value.param == field

    def test_the_estimate_for_silent_providers_does_not_count_the_bytes_of_images(self):
        source = {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}
        _, result = chat(messages=[{"role": "user", "content": [{"type": "image", "source": source}]}], tools=[CUSTOM])
        assert 1000 < result.context.input_tokens < 5000

    def test_results_after_several_messages_of_the_user_still_come_first(self):
        said = [{"role": "user", "content": word} for word in "xy"]
        called = {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]}
        results = [{"role": "tool", "tool_call_id": name, "content": "1"} for name in "ab"]
        request, _ = messages(tools=[TOOL], messages=[USER, called, results[0], *said, results[1]])
        kinds = [part.get("tool_use_id") or part["text"] for part in request["messages"][2]["content"]]
        assert kinds == ["a", "b", "x", "y"]
        assert len(messages(messages=[USER, *said])[0]["messages"]) == 3

    def test_a_limit_above_the_models_is_the_models(self):
        assert messages("claude-3-opus-20240229", max_tokens=100_000)[0]["max_tokens"] == 4096

    def test_thinking_goes_with_no_temperature_and_a_high_top_p_alone(self):
        request, result = messages("claude-sonnet-4-0", reasoning_effort="low", temperature=0.5, top_p=0.5, top_k=3)
        assert not {"temperature", "top_p", "top_k"} & set(request)
        assert result.dropped == ("temperature", "top_p", "top_k")
        request, result = messages("claude-sonnet-4-0", reasoning_effort="low", temperature=1, top_p=0.95)
        assert ("temperature" in request, request["top_p"], result.dropped) == (False, 0.95, ())
        assert messages("claude-sonnet-4-0", top_k=3)[0]["top_k"] == 3

    def test_a_json_object_is_asked_for_in_words(self):
        request, _ = messages(
            response_format={"type": "json_object"}, messages=[{"role": "system", "content": "s"}, USER]
        )
        assert request["system"][0]["text"] == "s"
        assert "JSON object" in request["system"][1]["text"]
        assert "tools" not in request

    def test_blank_text_is_left_out_and_a_message_of_nothing_else(self):
        blank = [{"type": "text", "text": " \n"}, {"type": "text", "text": "x"}]
        history = [{"role": "user", "content": blank}, {"role": "assistant", "content": "\n"}, USER]
        request, _ = messages(messages=history)
        assert [[part["text"] for part in item["content"]] for item in request["messages"]] == [["x"], ["hi"]]

    def test_a_pdf_in_the_place_of_an_image_is_a_document(self):
        part = {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,AAAA"}}
        request, _ = messages(messages=[{"role": "user", "content": [part]}])
        source = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
        assert request["messages"][0]["content"] == [{"type": "document", "source": source}]

    def test_a_refusal_in_the_history_is_text(self):
        history = [USER, {"role": "assistant", "content": None, "refusal": "no"}, USER]
        assert messages(messages=history)[0]["messages"][1]["content"] == [{"type": "text", "text": "no"}]

    def test_lifetimes_of_caches(self):
        part = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
        request, _ = messages(messages=[{"role": "user", "content": [part]}])
        assert request["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
        part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        request, _ = chat("gpt-5.6", messages=[{"role": "user", "content": [part]}])
        assert request["messages"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit", "ttl": "12h"}

    def test_reasoning_with_a_signature_beside_it_is_thinking(self):
        turn = {"role": "assistant", "content": "x", "reasoning_content": "hm", "signature": "s"}
        request, _ = messages(messages=[USER, turn, USER])
        assert request["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "s"}

    def test_the_rest_of_a_messages_request(self):
        assert chat(service_tier="standard_only")[0]["service_tier"] == "default"
        single = {"type": "auto", "disable_parallel_tool_use": True}
        request, result = chat("o3-mini", tools=[CUSTOM], tool_choice=single)
        assert ("parallel_tool_calls" in request, result.dropped) == (False, ("tool_choice.disable_parallel_tool_use",))
        schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        strict = {"name": "look", "input_schema": schema, "strict": True}
        assert chat(tools=[strict])[0]["tools"][0]["function"]["strict"] is True
        request, result = chat(tools=[strict | {"input_schema": {"type": "object", "properties": {}}}])
        assert ("strict" in request["tools"][0]["function"], result.dropped) == (False, ("tools.strict",))

    def test_what_documents_and_search_results_say_of_themselves_is_said(self):
        words = {"type": "text", "media_type": "text/plain", "data": "words"}
        blocks = [
            {"type": "document", "title": "T", "context": "C", "source": words},
            {
                "type": "search_result",
                "title": "T",
                "source": "https://x",
                "content": [{"type": "text", "text": "found"}],
            },
        ]
        request, _ = chat(messages=[{"role": "user", "content": blocks}])
        texts = [part["text"] for part in request["messages"][0]["content"]]
        assert texts == ["T\nC\n\n", "words", "T\nhttps://x\nfound"]

    def test_a_turn_of_calls_alone_has_no_content(self):
        history = [
            USER,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]},
        ]
        assert chat(messages=history)[0]["messages"][1]["content"] is None


class TestAnswers:
    def test_tokens_of_thinking_are_forwarded(self):
        usage = {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}
        body = {"content": [], "stop_reason": "end_turn", "usage": usage}
        answer = json.loads(TRANSLATORS["chat", "messages"].answer(json.dumps(body).encode(), Context(), NOW))
        assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}
        back = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": answer["usage"]}
        message = json.loads(TRANSLATORS["messages", "chat"].answer(json.dumps(back).encode(), Context(), NOW))
        assert message["usage"]["output_tokens_details"] == {"thinking_tokens": 4}

    def test_a_pause_is_a_stop_that_says_so(self):
        body = {"content": [{"type": "text", "text": "x"}], "stop_reason": "pause_turn"}
        choice = json.loads(TRANSLATORS["chat", "messages"].answer(json.dumps(body).encode(), Context(), NOW))[
            "choices"
        ][0]
        assert (choice["finish_reason"], choice["native_finish_reason"]) == ("stop", "pause_turn")
        out = run(
            TRANSLATORS["chat", "messages"].stream(Context(), NOW), sse(START, *text(0, "x"), end("pause_turn"), STOP)
        )
        assert completion_of(out)["choices"][0]["native_finish_reason"] == "pause_turn"

    def test_functions_of_old_and_structured_outputs(self):
        use = {"type": "tool_use", "id": "a", "name": "look", "input": {"a": 1}}
        body = json.dumps({"content": [{"type": "text", "text": "x"}, use], "stop_reason": "tool_use"}).encode()
        choice = json.loads(TRANSLATORS["chat", "messages"].answer(body, Context(legacy_functions=True), NOW))[
            "choices"
        ][0]
        assert choice["finish_reason"] == "function_call"
        assert choice["message"]["function_call"] == {"name": "look", "arguments": '{"a":1}'}
        choice = json.loads(TRANSLATORS["chat", "messages"].answer(body, Context(output_tool="look"), NOW))["choices"][
            0
        ]
        assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", '{"a":1}')
        said = {"content": [{"type": "text", "text": "x"}], "function_call": {"name": "look", "arguments": "{}"}}
        body = json.dumps({"choices": [{"message": said, "finish_reason": "function_call"}]}).encode()
        message = json.loads(TRANSLATORS["messages", "chat"].answer(body, Context(), NOW))
        assert [part["type"] for part in message["content"]] == ["text", "tool_use"]
        assert message["stop_reason"] == "tool_use"

    def test_reasoning_by_its_other_name(self):
        body = json.dumps({"choices": [{"message": {"reasoning": "hm", "content": "x"}, "finish_reason": "stop"}]})
        message = json.loads(TRANSLATORS["messages", "chat"].answer(body.encode(), Context(), NOW))
        assert message["content"][0]["thinking"] == "hm"
        assert streamed(chunk(reasoning="hm"), chunk("stop"), "[DONE]")["content"][0]["thinking"] == "hm"

    @pytest.mark.parametrize("body", [b"{}", b'{"error":{"message":"x"}}', b'{"content":"x"}', b'{"content":null}'])
    def test_an_answer_without_content_is_no_answer(self, body):
        with pytest.raises(UpstreamBadResponse):
            TRANSLATORS["chat", "messages"].answer(body, Context(), NOW)

    def test_an_input_that_is_no_object_becomes_an_empty_one(self):
        context = Context()
        body = {"content": [{"type": "tool_use", "id": "a", "name": "look", "input": [1]}], "stop_reason": "tool_use"}
        answer = json.loads(TRANSLATORS["chat", "messages"].answer(json.dumps(body).encode(), context, NOW))
        assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"
        assert context.warnings == {"arguments", "usage_estimated"}

    @pytest.mark.parametrize("api", ["chat", "messages"])
    @pytest.mark.parametrize("message", [5, {"a": 1}, None, "", [[[]]]])
    def test_an_errors_message_that_is_no_text_is_not_shown(self, api, message):
        body = json.dumps({"error": {"message": message}}).encode()
        assert "answered 500" in json.loads(TRANSLATORS[PAIRS[api]].error(500, body, "")[1])["error"]["message"]
        out = TRANSLATORS[PAIRS[api]].stream(Context(), NOW).feed([(b"error", body)])
        assert b"The provider broke off with an error." in out


class TestStreams:
    def test_a_function_of_old_is_a_call(self):
        chunks = [chunk(function_call={"name": "look", "arguments": '{"a"'}), chunk(function_call={"arguments": ":1}"})]
        message = streamed(*chunks, chunk("function_call"), "[DONE]")
        assert (message["content"][0]["name"], message["content"][0]["input"]) == ("look", {"a": 1})
        assert message["stop_reason"] == "tool_use"

    def test_counts_in_every_chunk_are_totals(self):
        said = [chunk(content="x") | {"usage": {"prompt_tokens": 5, "completion_tokens": number}} for number in (1, 2)]
        usage = streamed(*said, chunk("stop"), counts(completion_tokens=3), "[DONE]")["usage"]
        assert (usage["input_tokens"], usage["output_tokens"]) == (5, 3)

    def test_a_signature_without_thinking_is_a_whole_block(self):
        start = block(0, "thinking", thinking="", signature="")
        events = [START, start, delta(0, "signature", signature="s"), stop(0), *text(1, "x"), end(), STOP]
        out = completion_of(run(TRANSLATORS["chat", "messages"].stream(Context(), NOW), sse(*events)))
        blocks = out["choices"][0]["message"]["thinking_blocks"]
        assert blocks == [{"type": "thinking", "thinking": "", "signature": "s"}]

    def test_citations_that_are_no_list_are_the_providers_fault(self):
        translator = TRANSLATORS["chat", "messages"].stream(Context(), NOW)
        with pytest.raises(UpstreamBadResponse):
            translator.feed(events_of(sse(START, block(0, "text", text="", citations=5))))

    def test_an_empty_finish_reason_is_none(self):
        chunks = [chunk("", content="a"), chunk("", content="b")]
        out = run(TRANSLATORS["messages", "chat"].stream(Context(), NOW), sse(*chunks))
        assert b"event: error" in out
        assert streamed(*chunks, chunk("length"), chunk(""), "[DONE]")["stop_reason"] == "max_tokens"

    def test_the_first_choice_is_found_wherever_it_stands(self):
        both = chunk(content="a")
        both["choices"].insert(0, {"index": 1, "delta": {"content": "z"}, "finish_reason": None})
        assert texts(streamed(both, chunk("stop"), "[DONE]")) == ["a"]

    def test_an_empty_error_is_none(self):
        said = chunk(content="a") | {"error": ""}
        assert texts(streamed(said, chunk("stop"), "[DONE]")) == ["a"]

    def test_a_first_chunk_without_choices_is_passed_over(self):
        first = {"id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": [{}]}
        out = streamed(first, chunk(content="a"), chunk("stop"), "[DONE]")
        assert (out["id"], out["model"]) == ("chatcmpl-1", "gpt")

    @pytest.mark.parametrize("index", [None, 0])
    def test_calls_without_ids_are_told_apart_by_their_names(self, index):
        chunks = [chunk(tool_calls=[piece(index, "{}", name="look"), piece(index, '{"a":1}', name="leap")])]
        content = streamed(*chunks, chunk("tool_calls"), "[DONE]")["content"]
        assert [(item["name"], item["input"]) for item in content] == [("look", {}), ("leap", {"a": 1})]
        assert len({item["id"] for item in content}) == 2

    def test_a_name_repeated_after_whole_arguments_begins_another_call_where_there_are_no_indexes(self):
        pieces = ['{"a":', "1}", "{}"]
        chunks = [chunk(tool_calls=[piece(None, part, name="look")]) for part in pieces]
        content = streamed(*chunks, chunk("tool_calls"), "[DONE]")["content"]
        assert [item["input"] for item in content] == [{"a": 1}, {}]
        chunks = [chunk(tool_calls=[piece(0, part, name="look")]) for part in ('{"a":', "1}", "")]
        content = streamed(*chunks, chunk("tool_calls"), "[DONE]")["content"]
        assert [item["input"] for item in content] == [{"a": 1}]

    def test_pieces_without_indexes_go_to_the_call_of_their_id(self):
        chunks = [
            chunk(tool_calls=[piece(None, '{"n":', "call_0", "look"), piece(None, '{"n":', "call_1", "look")]),
            *(chunk(tool_calls=[piece(None, "0}", "call_0")]), chunk(tool_calls=[piece(None, "1}", "call_1")])),
        ]
        content = streamed(*chunks, chunk("tool_calls"), "[DONE]")["content"]
        assert [(item["id"], item["input"]) for item in content] == [("call_0", {"n": 0}), ("call_1", {"n": 1})]

    @pytest.mark.parametrize("call_id", [None, "call"])
    def test_thousands_of_calls_cost_no_more_each(self, call_id):
        pieces = [
            chunk(tool_calls=[piece(index, "{" if index == 0 else "{}", call_id and f"{call_id}_{index}", "look")])
            for index in range(20_000)
        ]
        assert seconds(pieces) < 3  # it was ten and more when each looked for its own among all

    def test_a_call_that_always_seems_to_end_is_not_read_again_for_every_piece(self):
        begun = chunk(tool_calls=[piece(0, '{"a":"', "a", "look"), piece(1, "", "b", "look")])
        again = chunk(tool_calls=[piece(0, "x" * 1000 + "}"), piece(1, " ")])
        pieces = [begun, *[again] * 5000]
        assert seconds(pieces) < 2


def seconds(chunks):
    events = [*((b"message", json.dumps(item).encode()) for item in chunks), (b"message", b"[DONE]")]
    translator = TRANSLATORS["messages", "chat"].stream(Context(), NOW)
    begun = time.process_time()
    translator.feed(events)
    return time.process_time() - begun
