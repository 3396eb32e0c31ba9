"""Responses as messages and chat completions, whole and in streams, and on their way back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.dialects.models import openai_model
from edge.dialects.thinking import is_signed, without_unsigned
from edge.dialects.translators import TRANSLATORS
from edge.errors import UpstreamBadResponse, UpstreamStreamBroken
from tests.unit.responding import (
    ASTRA,
    SEAL,
    asked,
    called,
    completion,
    context,
    message,
    refused,
    response,
    said,
    streamed,
    thought,
)
from tests.unit.translating import (
    CHUNK,
    NOW,
    USER,
    completion_of,
    events_of,
    message_of,
    run,
)


class TestAnAnswer:
    def test_a_message_has_what_there_was_in_its_order(self):
        made = message(thought(text="a|b"), said("Hello"), thought(2), called())
        kinds = [block["type"] for block in made["content"]]
        assert kinds == ["thinking", "text", "redacted_thinking", "tool_use"]
        assert made["content"][0]["thinking"] == "a\n\nb"
        assert made["content"][3]["input"] == {"a": 1}
        assert (made["stop_reason"], made["model"]) == ("tool_use", ASTRA)
        usage = made["usage"]
        read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        assert (usage["input_tokens"], read, written, usage["output_tokens"]) == (4, 4, 2, 3)
        assert usage["output_tokens_details"] == {"thinking_tokens": 1}

    @pytest.mark.parametrize(
        ("fields", "stop", "finish"),
        [
            ({}, "end_turn", "stop"),
            ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_tokens", "length"),
            ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "refusal", "content_filter"),
            ({"status": "incomplete", "incomplete_details": None}, "end_turn", "stop"),
        ],
    )
    def test_how_it_ended(self, fields, stop, finish):
        assert message(said("x"), **fields)["stop_reason"] == stop
        assert completion(said("x"), **fields)["choices"][0]["finish_reason"] == finish

    def test_a_refusal(self):
        made = message(refused("No."))
        assert (made["stop_reason"], made["stop_details"]["explanation"]) == ("refusal", "No.")
        choice = completion(refused("No."))["choices"][0]
        assert (choice["message"]["refusal"], choice["message"]["content"]) == ("No.", None)

    def test_citations_of_the_web(self):
        noted = {"type": "url_citation", "url": "https://x.test", "title": "X", "start_index": 1, "end_index": 3}
        made = completion(said("a"), said("bcd", annotations=[noted, {"type": "file_citation"}]))
        found = made["choices"][0]["message"]["annotations"]
        place = {"url": "https://x.test", "title": "X", "start_index": 2, "end_index": 4}
        assert found == [{"type": "url_citation", "url_citation": place}]

    def test_a_call_of_a_custom_tool(self):
        custom = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "*"}
        made = completion(custom)["choices"][0]["message"]["tool_calls"]
        assert made == [{"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": "*"}}]

    @pytest.mark.parametrize("body", [b"{}", b"[]", b'{"output":5}', b'{"output":[5]}', b"not json"])
    def test_what_is_no_response_is_a_502(self, body):
        for client in ("messages", "chat"):
            with pytest.raises(UpstreamBadResponse):
                TRANSLATORS[client, "responses"].answer(body, context(), NOW)

    def test_an_error_is_about_the_field_that_the_client_has_sent(self):
        error = {"message": "too small", "type": "invalid_request_error", "param": "input[2].content", "code": "x"}
        _, body = TRANSLATORS["chat", "responses"].error(400, json.dumps({"error": error}).encode(), "")
        assert json.loads(body)["error"] == {**error, "param": "messages[2].content"}
        status, body = TRANSLATORS["chat", "responses"].error(502, b"<html>", "")
        assert (status, json.loads(body)["error"]["type"]) == (502, "server_error")


ITEMS = st.lists(
    st.one_of(
        st.builds(lambda text: thought(text=text), st.sampled_from(["", "a", "ab|cd", "x|y|z"])),
        st.builds(said, st.text(max_size=8)),
        st.builds(refused, st.text(min_size=1, max_size=5)),
        st.builds(called, st.just(1), st.sampled_from(["look", "see"]), st.sampled_from(["{}", '{"a":"ü"}', ""])),
    ),
    max_size=6,
)


def numbered(items):
    """The same, each with ids of its own."""
    made = []
    for number, item in enumerate(items):
        ids = {"id": f"{item['id'][:-1]}{number}"}
        if "call_id" in item:
            ids["call_id"] = f"call_{number}"
        made.append({**item, **ids})
    return made


@pytest.mark.once
@given(ITEMS)
@settings(max_examples=150)
def test_a_stream_put_together_is_the_whole_answer(items):
    items = numbered(items)
    whole = message(*items)
    out = run(TRANSLATORS["messages", "responses"].stream(context(), NOW), streamed(*items))
    assert message_of(out) == whole
    expected = completion(*items)
    out = run(TRANSLATORS["chat", "responses"].stream(context(include_usage=True), NOW), streamed(*items))
    assert completion_of(out) == expected


@pytest.mark.once
@pytest.mark.slow
@given(ITEMS)
@settings(max_examples=100)
def test_what_an_answer_said_goes_back_as_it_was(items):
    """Responses to messages and back, and to chat and back: texts, calls and thoughts keep all, and their order."""
    items = [item for item in numbered(items) if item["type"] != "message" or item["content"][0].get("text", "x")]
    while items and items[-1]["type"] == "reasoning":
        items.pop()  # it cannot be sent again
    expected = []
    for item in items:
        if item["type"] == "reasoning":
            expected.append(("reasoning", item["encrypted_content"]))
        elif item["type"] == "message":
            part = item["content"][0]
            text = part.get("text") or part.get("refusal")
            if expected and expected[-1][0] == "message":
                expected[-1] = ("message", expected[-1][1] + text)
            else:
                expected.append(("message", text))
        else:
            expected.append(("function_call", item["call_id"], item["name"], json.loads(item["arguments"] or "{}")))
    turn = {"role": "assistant", "content": message(*items)["content"]}
    request, _ = asked("messages", messages=[USER, turn, USER])
    assert [of(item) for item in request["input"][1:-1]] == expected
    made = completion(*items)["choices"][0]["message"]
    request, _ = asked("chat", messages=[USER, made, USER])
    back = [of(item) for item in request["input"][1:-1]]
    for kind in ("reasoning", "function_call"):
        assert [each for each in back if each[0] == kind] == [each for each in expected if each[0] == kind]
    # What a call came of stands right before it.
    for place, each in enumerate(expected[1:], 1):
        if each[0] == "function_call" and expected[place - 1][0] == "reasoning":
            assert back[back.index(each) - 1] == expected[place - 1]


def of(item):
    kind = item["type"]
    if kind == "reasoning":
        return kind, item["encrypted_content"]
    if kind == "message":
        return kind, item["content"]
    return kind, item["call_id"], item["name"], json.loads(item["arguments"])


class TestAStream:
    def both(self):
        return [(client, TRANSLATORS[client, "responses"].stream(context(), NOW)) for client in ("messages", "chat")]

    def test_one_that_breaks_off_ends_in_an_error(self):
        for client, translator in self.both():
            out = run(translator, streamed(said("Hello"), cut=1))
            assert b"[DONE]" not in out
            assert b"message_stop" not in out
            assert UpstreamStreamBroken().message in out.decode(), client

    @pytest.mark.parametrize(
        "last",
        [
            {
                "type": "response.failed",
                "response": {"status": "failed", "error": {"code": "server_error", "message": "Oops"}},
            },
            {"type": "error", "code": "server_error", "message": "Oops", "param": None, "sequence_number": 3},
            {"type": "error", "error": {"type": "server_error", "code": None, "message": "Oops", "param": None}},
        ],
    )
    def test_one_that_fails_says_so_and_nothing_after(self, last):
        event = b"event: %b\ndata: %b\n\n" % (last["type"].encode(), json.dumps(last).encode())
        for client, translator in self.both():
            out = translator.feed(events_of(streamed(said("Hello"), cut=1) + event + streamed(said("more"))))
            assert translator.finish() == b""
            name, data = events_of(out)[-1]
            error = json.loads(data)["error"]
            assert error["message"] == "Oops"
            assert (name, error["type"]) == (
                (b"error", "api_error") if client == "messages" else (b"message", "server_error")
            )

    def test_items_that_come_in_turns_are_blocks_one_after_the_other(self):
        first, second = called(1), called(2, arguments='{"b":2}')
        added = [
            {"type": "response.output_item.added", "output_index": n, "item": {**each, "arguments": ""}}
            for n, each in enumerate((first, second))
        ]
        deltas = [
            {"type": "response.function_call_arguments.delta", "output_index": n, "delta": text}
            for n, text in ((1, '{"b"'), (0, '{"a"'), (1, ":2}"), (0, ":1}"))
        ]
        done = [
            {"type": "response.output_item.done", "output_index": n, "item": each}
            for n, each in ((1, second), (0, first))
        ]
        last = {"type": "response.completed", "response": response(first, second)}
        stream = b"".join(
            b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode())
            for each in (*added, *deltas, *done, last)
        )
        made = message_of(run(TRANSLATORS["messages", "responses"].stream(context(), NOW), stream))
        assert [(block["id"], block["input"]) for block in made["content"]] == [
            ("call_1", {"a": 1}),
            ("call_2", {"b": 2}),
        ]
        made = completion_of(run(TRANSLATORS["chat", "responses"].stream(context(), NOW), stream))
        calls = made["choices"][0]["message"]["tool_calls"]
        assert [each["function"]["arguments"] for each in calls] == ['{"a":1}', '{"b":2}']

    def test_what_comes_whole_is_told_all_the_same(self):
        last = {"type": "response.completed", "response": response(thought(text="a"), said("Hello"), called())}
        stream = b"event: response.completed\ndata: %b\n\n" % json.dumps(last).encode()
        made = message_of(run(TRANSLATORS["messages", "responses"].stream(context(), NOW), stream))
        assert made["content"] == message(thought(text="a"), said("Hello"), called())["content"]
        made = completion_of(run(TRANSLATORS["chat", "responses"].stream(context(include_usage=True), NOW), stream))
        assert made == completion(thought(text="a"), said("Hello"), called())

    def test_events_of_tomorrow_are_passed_over_and_counted(self):
        for _, translator in self.both():
            events = [
                (b"response.steer.begun", b'{"type":"response.steer.begun"}'),
                (b"keepalive", b'{"type":"keepalive"}'),
            ]
            assert translator.feed(events) == b""
            assert translator._context.warnings == {"event"}

    def test_an_event_that_cannot_be_read_is_a_502(self):
        for _, translator in self.both():
            with pytest.raises(UpstreamBadResponse):
                translator.feed([(b"response.output_text.delta", b'{"delta":5}')])

    def test_every_chunk_is_one_the_sdk_reads(self):
        out = run(
            TRANSLATORS["chat", "responses"].stream(context(), NOW),
            streamed(thought(text="a"), said("Hello"), called()),
        )
        for _, data in events_of(out)[:-1]:
            CHUNK.validate_python(json.loads(data))


def test_a_thought_of_openais_goes_to_no_model_of_anthropics():
    sealed = SEAL.reasoning(thought())
    assert not is_signed("thinking", sealed, None)
    assert not is_signed("redacted_thinking", None, sealed)
    body = json.dumps(
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "a", "signature": sealed},
                        {"type": "text", "text": "x"},
                    ],
                },
            ]
        },
        separators=(",", ":"),
    ).encode()
    start, end = body.index(b"["), len(body) - 1
    left = json.loads(without_unsigned(body, start, end))
    assert left[1]["content"] == [{"type": "text", "text": "x"}]


def test_the_row_that_asks_for_responses():
    assert openai_model(ASTRA).chat_tools == "never"
