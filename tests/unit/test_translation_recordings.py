"""Real exchanges, translated: what the official SDKs would have sent, and what they can read."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from edge.errors import EdgeError
from tests.unit.translating import (
    COMPLETION,
    MESSAGE,
    NOW,
    PAIRS,
    check_chat_request,
    check_messages_request,
    completion_of,
    events_of,
    message_of,
    run,
)

pytestmark = [pytest.mark.slow, pytest.mark.once]

CLAUDES = (
    *("claude-3-5-haiku-latest", "claude-sonnet-4-5", "claude-opus-4-6", "claude-sonnet-5-5", "claude-opus-5-5"),
    *("claude-of-tomorrow", "some-compatible-model"),
)
GPTS = ("gpt-4o", "gpt-5-mini", "gpt-5.6-sol", "o3-mini", "llama-3")
CHECKS = {"chat": check_messages_request, "messages": check_chat_request}


def of(recordings, api):
    path = "/v1/chat/completions" if api == "chat" else "/v1/messages"
    found = [recording for recording in recordings if recording.path.partition("?")[0] == path]
    if not found:
        pytest.skip("EDGE_RECORDINGS names no recordings")
    return found


@pytest.mark.parametrize(
    ("api", "model"), [*(("chat", model) for model in CLAUDES), *(("messages", model) for model in GPTS)]
)
def test_a_request_becomes_one_the_other_sdk_could_have_sent_or_a_400_that_names_a_field(
    recordings, capsys, api, model
):
    translated, refused = 0, Counter()
    for recording in of(recordings, api):
        try:
            result = TRANSLATORS[PAIRS[api]].request(recording.body, model)
        except EdgeError as error:
            assert error.status == 400
            assert error.param
            assert error.param.partition("[")[0].partition(".")[0] in recording.request
            refused[error.param.rpartition("]")[2].lstrip(".") or error.param] += 1
            continue
        CHECKS[api](result.body)
        translated += 1
    assert translated > 100
    with capsys.disabled():
        reasons = ", ".join(f"{name}: {count}" for name, count in refused.items())
        print(f"\n{api} for {model}: {translated} translated, {refused.total()} refused ({reasons})")


def test_whole_chat_completions_are_messages_the_anthropic_sdk_reads(recordings):
    answers = [recording for recording in of(recordings, "chat") if recording.status == 200 and not recording.is_stream]
    for recording in answers:
        original = json.loads(recording.answer)
        message = json.loads(TRANSLATORS["messages", "chat"].answer(recording.answer, Context(), NOW))
        MESSAGE.validate_python(message)
        texts = "".join(block["text"] for block in message["content"] if block["type"] == "text")
        said = original["choices"][0]["message"]
        assert texts == (said["content"] or "") + (said.get("refusal") or "")
        calls = [block for block in message["content"] if block["type"] == "tool_use"]
        assert [(call["id"], call["name"], call["input"]) for call in calls] == [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"] or "{}"))
            for call in said.get("tool_calls") or ()
        ]
        usage = message["usage"]
        read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        assert usage["input_tokens"] + read + written == original["usage"]["prompt_tokens"]
        assert usage["output_tokens"] == original["usage"]["completion_tokens"]
    assert len(answers) > 90


def test_whole_messages_are_chat_completions_the_openai_sdk_reads(recordings):
    answers = [
        recording for recording in of(recordings, "messages") if recording.status == 200 and not recording.is_stream
    ]
    for recording in answers:
        original = json.loads(recording.answer)
        completion = json.loads(TRANSLATORS["chat", "messages"].answer(recording.answer, Context(), NOW))
        COMPLETION.validate_python(completion)
        said = completion["choices"][0]["message"]
        texts = "".join(block["text"] for block in original["content"] if block["type"] == "text")
        assert (said["content"] or "") == texts
        calls = [block for block in original["content"] if block["type"] == "tool_use"]
        assert [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in said.get("tool_calls", ())
        ] == [(call["id"], call["name"], call["input"]) for call in calls]
        signatures = [block["signature"] for block in original["content"] if block["type"] == "thinking"]
        kept = [block["signature"] for block in said.get("thinking_blocks", ()) if block["type"] == "thinking"]
        assert kept == signatures
        usage = original["usage"]
        whole = sum(usage[f"{kind}input_tokens"] or 0 for kind in ("", "cache_creation_", "cache_read_"))
        assert completion["usage"]["prompt_tokens"] == whole
    assert len(answers) > 150


def test_recorded_streams_put_together_are_what_the_whole_answer_would_have_been(recordings):
    """The message a client puts together from the original stream, translated, against the translated stream."""
    chats = [recording for recording in of(recordings, "chat") if recording.is_stream]
    for recording in chats:
        stream = TRANSLATORS["messages", "chat"].stream(Context(), NOW)
        message = message_of(run(stream, recording.answer))
        whole = json.dumps(completion_of(recording.answer)).encode()
        assert message == json.loads(TRANSLATORS["messages", "chat"].answer(whole, Context(), NOW))
    messages = [recording for recording in of(recordings, "messages") if recording.is_stream]
    for recording in messages:
        stream = TRANSLATORS["chat", "messages"].stream(Context(include_usage=True), NOW)
        completion = completion_of(run(stream, recording.answer))
        whole = json.dumps(original_message(recording.answer)).encode()
        expected = json.loads(TRANSLATORS["chat", "messages"].answer(whole, Context(), NOW))
        for answer in (completion, expected):
            for call in answer["choices"][0]["message"].get("tool_calls", ()):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])  # white space may differ
        assert completion == expected
    assert len(chats) + len(messages) > 30


def original_message(stream):
    """An original stream put together, with the blocks of server tools that `message_of` does not know."""
    message, arguments = {}, {}
    for _, data in events_of(stream):
        event = json.loads(data)
        kind, delta = event["type"], event.get("delta") or {}
        if kind == "message_start":
            message = event["message"]
        elif kind == "content_block_start":
            message["content"].append(event["content_block"])
        elif kind == "content_block_delta":
            block = message["content"][event["index"]]
            for field in ("text", "thinking", "signature"):
                if delta["type"] == f"{field}_delta":
                    block[field] += delta[field]
            if delta["type"] == "input_json_delta":
                arguments[event["index"]] = arguments.get(event["index"], "") + delta["partial_json"]
            elif delta["type"] == "citations_delta":
                block.setdefault("citations", []).append(delta["citation"])
        elif kind == "message_delta":
            message.update(delta)
            message["usage"].update(event["usage"])
    for index, text in arguments.items():
        message["content"][index]["input"] = json.loads(text or "{}")
    return message


@pytest.mark.parametrize("api", ["chat", "messages"])
def test_recorded_streams_split_anywhere_are_translated_to_the_same_bytes(recordings, sse_module, api):
    other = "messages" if api == "chat" else "chat"
    for recording in [recording for recording in of(recordings, other) if recording.is_stream]:
        whole = run(TRANSLATORS[PAIRS[api]].stream(Context(), NOW), recording.answer)
        translator, decoder, out = TRANSLATORS[PAIRS[api]].stream(Context(), NOW), sse_module.SSEDecoder(), b""
        for index in range(len(recording.answer)):
            out += translator.feed(decoder.feed(recording.answer[index : index + 1]))
        out += translator.feed(decoder.finish()) + translator.finish()
        assert out == whole


def test_recorded_errors_keep_their_status_and_message(recordings):
    errors = 0
    for api, other in (("chat", "messages"), ("messages", "chat")):
        for recording in of(recordings, other):
            if recording.status < 400:
                continue
            status, body = TRANSLATORS[PAIRS[api]].error(recording.status, recording.answer, "req_1")
            assert status == recording.status
            assert json.loads(body)["error"]["message"] == json.loads(recording.answer)["error"]["message"]
            errors += 1
    assert errors == 3
