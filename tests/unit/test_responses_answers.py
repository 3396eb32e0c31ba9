"""Answers of other APIs as responses: items, ends, counts, errors, and what comes back in the next turn."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dialects.responses_items import ClientTool
from edge.dialects.translators import TRANSLATORS
from edge.errors import UpstreamTimeout
from tests.unit.responses_back import SEAL, STREAMS, context, response_of, sent, streamed, whole
from tests.unit.test_translation_streams import START, STOP, block, delta, end, stop, text, tool
from tests.unit.translating import NOW, events_of, run, sse

THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "Eu8B"}
USAGE = {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 9}


def message(*content, reason="end_turn", **fields):
    return {
        **START["message"],
        "content": list(content),
        "stop_reason": reason,
        "usage": USAGE | {"output_tokens_details": {"thinking_tokens": 4}},
        **fields,
    }


def completion(reason="stop", **fields):
    choice = {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": reason}
    usage = {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19}
    usage["prompt_tokens_details"] = {"cached_tokens": 3, "cache_write_tokens": 2}
    return {"id": "chatcmpl-1", "model": "llama", "choices": [choice], "usage": usage}


def chunks(*deltas, reason="stop"):
    made = [{"id": "chatcmpl-1", "model": "llama", "choices": [{"index": 0, "delta": each}]} for each in deltas]
    made.append({"id": "chatcmpl-1", "model": "llama", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return sse(*made, {"id": "chatcmpl-1", "choices": [], "usage": completion()["usage"]}, "[DONE]")


def calling(index, call_id=None, name=None, arguments=""):
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, **({"id": call_id} if call_id else {}), "function": function}]}


class TestItems:
    def test_a_message_of_everything(self):
        response = whole(
            "messages",
            message(
                THINKING,
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}},
                reason="tool_use",
            ),
        )
        assert [item["type"] for item in response["output"]] == ["reasoning", "reasoning", "message", "function_call"]
        assert response["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
        assert SEAL.open_thinking(response["output"][0]["encrypted_content"]) == THINKING
        assert SEAL.open_thinking(response["output"][1]["encrypted_content"])["data"] == "xyz"
        assert response["status"] == "completed"
        assert response["usage"] == {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 4},
            "total_tokens": 19,
        }

    def test_a_chat_completion_of_everything(self):
        call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
        said = {"reasoning_content": "Hm.", "content": "Let me look.", "tool_calls": [call]}
        response = whole("chat", completion("tool_calls", **said))
        assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call"]
        assert "encrypted_content" not in response["output"][0]
        assert response["usage"]["input_tokens_details"] == {"cached_tokens": 3, "cache_write_tokens": 2}

    @pytest.mark.parametrize(
        ("reason", "status", "details"),
        [
            ("end_turn", "completed", None),
            ("stop_sequence", "completed", None),
            ("tool_use", "completed", None),
            ("pause_turn", "completed", None),
            ("of_tomorrow", "completed", None),
            ("max_tokens", "incomplete", {"reason": "max_output_tokens"}),
            ("model_context_window_exceeded", "incomplete", {"reason": "max_output_tokens"}),
            ("refusal", "incomplete", {"reason": "content_filter"}),
        ],
    )
    def test_ends(self, reason, status, details):
        response = whole("messages", message({"type": "text", "text": "So"}, reason=reason))
        assert (response["status"], response["incomplete_details"]) == (status, details)
        assert response["output"][0]["status"] == status
        found = streamed("messages", sse(START, *text(0, "So"), end(reason), STOP))
        assert (found["status"], found["incomplete_details"]) == (status, details)

    def test_a_refusal_is_a_part_of_the_message(self):
        details = {"type": "refusal", "category": None, "explanation": "No."}
        response = whole("messages", message(reason="refusal", stop_details=details))
        assert response["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
        assert whole("chat", completion(content=None, refusal="No."))["output"][0]["content"][0]["refusal"] == "No."
        assert streamed("chat", chunks({"refusal": "N"}, {"refusal": "o."}))["output"][0]["content"] == [
            {"type": "refusal", "refusal": "No."}
        ]

    def test_citations_are_annotations_of_the_text(self):
        cited = {"type": "web_search_result_location", "url": "https://a", "title": "A", "cited_text": "x"}
        blocks = [{"type": "text", "text": "One. "}, {"type": "text", "text": "Two.", "citations": [cited]}]
        (part,) = whole("messages", message(*blocks))["output"][0]["content"]
        assert part["text"] == "One. Two."
        assert part["annotations"] == [
            {"type": "url_citation", "start_index": 5, "end_index": 9, "title": "A", "url": "https://a"}
        ]
        stream = sse(
            *(START, *text(0, "One. "), block(1, "text", text=""), delta(1, "text", text="Two.")),
            *(delta(1, "citations", citation=cited), stop(1), end(), STOP),
        )
        assert streamed("messages", stream)["output"][0]["content"] == [part]

    def test_a_search_is_an_item_of_its_own(self):
        search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "news"}}
        found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
        response = whole("messages", message(search, found, {"type": "text", "text": "So."}))
        assert [item["type"] for item in response["output"]] == ["web_search_call", "message"]
        assert response["output"][0]["action"]["query"] == "news"
        events = [block(0, "server_tool_use", id="srvtoolu_1", name="web_search", input={})]
        events += [delta(0, "input_json", partial_json='{"query":"news"}'), stop(0)]
        again = streamed("messages", sse(START, *events, *text(1, "So."), end(), STOP))
        assert again["output"] == response["output"]

    def test_calls_are_what_the_clients_tools_were(self):
        tools = {
            "apply_patch": ClientTool("custom", "apply_patch"),
            "b__look": ClientTool("function", "look", "b"),
            "tool_search": ClientTool("tool_search", "tool_search"),
        }
        calls = [
            ("c1", "apply_patch", {"input": "*** Begin\n"}),
            ("c2", "b__look", {"a": 1}),
            ("c3", "tool_search", {"queries": ["x"]}),
        ]
        blocks = [{"type": "tool_use", "id": each, "name": name, "input": given} for each, name, given in calls]
        expected = whole("messages", message(*blocks, reason="tool_use"), context(client_tools=tools))["output"]
        assert [item["type"] for item in expected] == ["custom_tool_call", "function_call", "tool_search_call"]
        assert expected[0]["input"] == "*** Begin\n"
        assert (expected[1]["name"], expected[1]["namespace"]) == ("look", "b")
        assert expected[2]["arguments"] == {"queries": ["x"]}
        assert expected[2]["execution"] == "client"
        made = []
        for number, (each, name, arguments) in enumerate(calls):
            made += tool(number, each, *json.dumps(arguments, separators=(",", ":")), name=name)
        stream = sse(START, *made, end("tool_use"), STOP)
        assert streamed("messages", stream, context(client_tools=tools))["output"] == expected

    def test_calls_of_tools_that_openais_models_have_learnt_are_items_of_theirs(self):
        calls = [
            ("c1", "local_shell", {"command": ["ls", "-l"], "working_directory": "/tmp"}),
            ("c2", "shell", {"commands": ["ls", "pwd"], "timeout_ms": 9}),
            ("c3", "apply_patch", {"type": "create_file", "path": "a", "diff": "+a"}),
            ("c4", "apply_patch", {"type": "delete_file", "path": "a"}),
            ("c5", "shell", {"command": "ls", "color": True}),
            ("c6", "local_shell", {}),
        ]
        tools = {name: ClientTool(name, name) for name in ("local_shell", "shell", "apply_patch")}
        blocks = [{"type": "tool_use", "id": each, "name": name, "input": given} for each, name, given in calls]
        expected = whole("messages", message(*blocks, reason="tool_use"), context(client_tools=tools))["output"]
        assert [item.get("action") or item.get("operation") for item in expected] == [
            {"type": "exec", "env": {}, "command": ["ls", "-l"], "working_directory": "/tmp"},
            {"commands": ["ls", "pwd"], "timeout_ms": 9},
            {"type": "create_file", "path": "a", "diff": "+a"},
            {"type": "delete_file", "path": "a"},
            {"commands": ["ls"]},
            {"type": "exec", "env": {}, "command": []},
        ]
        assert [item["call_id"] for item in expected] == [each for each, *_ in calls]
        made = []
        for number, (each, name, arguments) in enumerate(calls):
            made += tool(number, each, *json.dumps(arguments, separators=(",", ":")), name=name)
        stream = sse(START, *made, end("tool_use"), STOP)
        assert streamed("messages", stream, context(client_tools=tools))["output"] == expected

    def test_a_structured_output_by_a_tool_is_the_text(self):
        output = context(output_tool="json_output")
        blocks = [
            {"type": "text", "text": "Here:"},
            {"type": "tool_use", "id": "t", "name": "json_output", "input": {"a": 1}},
        ]
        response = whole("messages", message(*blocks, reason="tool_use"), output)
        assert response["output"][0]["content"][0]["text"] == '{"a":1}'
        stream = sse(START, *text(0, "Here:"), *tool(1, "t", '{"a":1}', name="json_output"), end("tool_use"), STOP)
        assert streamed("messages", stream, output)["output"] == response["output"]

    def test_a_request_is_told_again_but_for_its_metadata(self):
        _, made = sent("messages", "claude-opus-4-6", instructions="Be brief.", metadata={"a": "b"}, temperature=0.5)
        response = whole("messages", message({"type": "text", "text": "."}), made.context)
        assert (response["instructions"], response["temperature"], response["metadata"]) == ("Be brief.", 0.5, {})

    def test_an_error_is_told_in_the_words_of_responses(self):
        said = {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
        }
        status, body = TRANSLATORS["responses", "messages"].error(400, json.dumps(said).encode(), "")
        error = json.loads(body)["error"]
        assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "input")
        wrong = {
            "error": {
                "message": "Key sk-abcdefghijkl is wrong",
                "type": "x",
                "param": "messages[1].content",
                "code": None,
            }
        }
        status, body = TRANSLATORS["responses", "chat"].error(422, json.dumps(wrong).encode(), "")
        assert (status, json.loads(body)["error"]["param"]) == (422, "input[1].content")
        assert b"sk-abc" not in body
        assert TRANSLATORS["responses", "chat"].error(502, b"<html>Bad gateway</html>", "")[0] == 502


class TestStreams:
    def test_calls_that_come_in_turns_become_items_one_after_the_other(self):
        deltas = [calling(0, "c0", "look", '{"a"'), calling(1, "c1", "look", '{"b":2}'), calling(0, arguments=":1}")]
        response = streamed("chat", chunks(*deltas, {"content": "So."}, reason="tool_calls"))
        calls = [item for item in response["output"] if item["type"] == "function_call"]
        assert [(call["call_id"], call["arguments"]) for call in calls] == [("c0", '{"a":1}'), ("c1", '{"b":2}')]

    def test_a_call_that_was_cut_off_says_so(self):
        response = streamed("chat", chunks(calling(0, "c0", "look", '{"a"'), reason="length"))
        assert response["status"] == "incomplete"
        assert response["output"][0]["status"] == "incomplete"

    @pytest.mark.parametrize("api", ["messages", "chat"])
    def test_an_error_inside_is_an_event_and_a_failed_response(self, api):
        error = {"type": "overloaded_error", "message": "Overloaded"}
        begun = (
            [START, *text(0, "So")] if api == "messages" else [json.loads(events_of(chunks({"content": "So"}))[0][1])]
        )
        stream = sse(*begun, {"type": "error", "error": error})
        events = [json.loads(data) for _, data in events_of(run(STREAMS[api](context(), NOW), stream))]
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        assert events[-2]["message"] == "Overloaded"
        assert events[-1]["response"]["status"] == "failed"
        assert events[-1]["response"]["error"]["message"] == "Overloaded"
        assert [event["sequence_number"] for event in events] == list(range(len(events)))

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            ({"code": 503, "message": "Busy"}, "overloaded"),
            ({"code": ["odd"], "type": {}, "message": "Odd"}, "server_error"),
            ({"code": "slow_down", "message": "Slower"}, "slow_down"),
        ],
    )
    def test_the_code_of_an_error_inside_is_a_word_whatever_the_server_says(self, error, code):
        stream = chunks({"content": "So"}).split(b"\n\n")[0] + b"\n\n" + sse({"error": error})
        events = [json.loads(data) for _, data in events_of(run(STREAMS["chat"](context(), NOW), stream))]
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        assert events[-2]["code"] == code

    @pytest.mark.parametrize("odd", [5, True, {"a": 1}, "x", [5, None]])
    def test_citations_that_are_no_list_are_none(self, odd):
        response = streamed("chat", chunks({"content": "So"}, {"annotations": odd}))
        assert response["output"][0]["content"][0]["annotations"] == []

    def test_an_error_inside_names_the_field_as_a_client_of_responses_does(self):
        error = {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}
        stream = sse(START, *text(0, "So"), {"type": "error", "error": error})
        events = [json.loads(data) for _, data in events_of(run(STREAMS["messages"](context(), NOW), stream))]
        assert (events[-2]["code"], events[-2]["param"]) == ("context_length_exceeded", "input")

    @pytest.mark.parametrize("api", ["messages", "chat"])
    def test_a_stream_that_breaks_off_fails_and_another_client_goes_on(self, api):
        stream = sse(START, *text(0, "So")) if api == "messages" else chunks({"content": "So"})
        translator = STREAMS[api](context(), NOW)
        sent_so_far = translator.feed(events_of(stream)[:2])
        late = [json.loads(data) for _, data in events_of(translator.fail(UpstreamTimeout(), "req_1"))]
        assert [event["type"] for event in late] == ["error", "response.failed"]
        rest = sse(*text(0, "So"), end(), STOP) if api == "messages" else b""
        events = events_of(rest) if rest else events_of(stream)[2:]
        response_of(sent_so_far + translator.feed(events) + translator.finish())
        broken = STREAMS[api](context(), NOW)
        broken.feed(events_of(stream)[:2] if api == "messages" else events_of(stream)[:1])
        assert b"response.failed" in broken.finish()

    def test_counts_that_nobody_made_are_estimated_and_marked(self):
        answer = completion(content="One two three.")
        del answer["usage"]
        given_context = context(measure=lambda: 7)
        response = whole("chat", answer, given_context)
        assert response["usage"]["estimated"] is True
        assert response["usage"]["input_tokens"] == 7


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
BLOCKS = st.lists(
    st.one_of(
        st.builds(lambda said: {"type": "text", "text": said + "."}, WORDS),
        st.builds(lambda said, proof: {"type": "thinking", "thinking": said, "signature": proof}, WORDS, WORDS),
        st.builds(lambda data: {"type": "redacted_thinking", "data": data}, WORDS),
        st.builds(
            lambda number, key, value: {
                "type": "tool_use",
                "id": f"toolu_{number}",
                "name": "look",
                "input": {key: value},
            },
            st.integers(0, 1 << 30),
            WORDS,
            WORDS | st.integers() | st.booleans(),
        ),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each.get("id") or id(each),
)


@pytest.mark.once
@pytest.mark.slow
@settings(max_examples=150)
@given(BLOCKS)
def test_what_a_model_said_comes_back_to_it_as_it_was(blocks):
    """Anthropic's message to a response, whose items are sent with the next turn, and are a message's content again."""
    response = whole("messages", message(*blocks))
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": each["call_id"], "output": "42"} for each in calls]
    items = [{"role": "user", "content": "hi"}, *response["output"], *results, {"role": "user", "content": "Go on."}]
    body, _ = sent("messages", "claude-opus-4-6", input=items, tools=[])
    said = [block for turn in body["messages"] if turn["role"] == "assistant" for block in turn["content"]]
    if all(each["type"] in ("thinking", "redacted_thinking") for each in blocks):
        return  # a turn of thoughts alone is none that Anthropic takes back
    expected = []
    for each in blocks:  # texts that follow each other are one
        if each["type"] == "text" and expected and expected[-1]["type"] == "text":
            expected[-1] = {"type": "text", "text": expected[-1]["text"] + each["text"]}
        else:
            expected.append(each)
    while expected[-1]["type"] in ("thinking", "redacted_thinking"):
        expected.pop()  # nor is one that ends in thoughts
    assert said == expected


def test_the_end_of_one_block_leaves_another_open():
    call = block(1, "tool_use", id="toolu_1", name="get", input={})
    begun = (START, block(0, "text", text=""), delta(0, "text", text="So"), call, stop(0))
    pieces = [delta(1, "input_json", partial_json=piece) for piece in ('{"a"', ":1}")]
    said, called = streamed("messages", sse(*begun, *pieces, stop(1), end("tool_use"), STOP))["output"]
    assert (said["content"][0]["text"], called["arguments"]) == ("So", '{"a":1}')
