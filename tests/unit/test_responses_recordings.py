"""Real exchanges, translated for clients of Responses: what the official SDKs would have sent, and what they can read."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from edge.errors import EdgeError
from tests.unit.responses_back import CHECKS, STREAMS, context, opened, response_of, streamed, whole
from tests.unit.test_translation_recordings import original_message
from tests.unit.translating import NOW, completion_of, run

pytestmark = pytest.mark.once

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
MODELS = [
    *(("messages", name) for name in ("claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-5-5", "some-model")),
    *(("chat", name) for name in ("llama-3", "gpt-4o", "gpt-5-mini")),
]


def of(recordings, api):
    found = [recording for recording in recordings if recording.path.partition("?")[0] == PATHS[api]]
    if not found:
        pytest.skip("EDGE_RECORDINGS names no recordings")
    return found


@pytest.mark.parametrize(("api", "model"), MODELS)
def test_a_request_becomes_one_the_other_sdk_could_have_sent_or_a_400_that_names_a_field(
    recordings, capsys, api, model
):
    translated, refused, dropped = 0, Counter(), Counter()
    for recording in of(recordings, "responses"):
        try:
            result = opened(api, model).at_once(recording.body)
        except EdgeError as error:
            assert error.status == 400
            assert error.param
            assert error.param.partition("[")[0].partition(".")[0] in recording.request
            refused[error.param.rpartition("]")[2].lstrip(".") or error.param] += 1
            continue
        CHECKS[api](result.body)
        translated += 1
        dropped.update(result.dropped)
    assert translated > 100
    with capsys.disabled():
        reasons, lost = (", ".join(f"{name}: {count}" for name, count in each.items()) for each in (refused, dropped))
        print(f"\nresponses to {api} for {model}: {translated} translated, {refused.total()} refused ({reasons})")
        print(f"  dropped: {lost}")


def test_whole_messages_are_responses_the_openai_sdk_reads(recordings):
    answers = [each for each in of(recordings, "messages") if each.status == 200 and not each.is_stream]
    for recording in answers:
        original = json.loads(recording.answer)
        response = whole("messages", recording.answer)
        items = response["output"]
        parts = [part for item in items if item["type"] == "message" for part in item["content"]]
        said = "".join(part["text"] for part in parts if part["type"] == "output_text")
        assert said == "".join(block["text"] for block in original["content"] if block["type"] == "text")
        calls = [item for item in items if item["type"] == "function_call"]
        assert [(call["call_id"], call["name"], json.loads(call["arguments"])) for call in calls] == [
            (block["id"], block["name"], block["input"]) for block in original["content"] if block["type"] == "tool_use"
        ]
        usage = original["usage"]
        given = sum(usage[f"{kind}input_tokens"] or 0 for kind in ("", "cache_creation_", "cache_read_"))
        assert response["usage"]["input_tokens"] == given
        assert response["usage"]["output_tokens"] == usage["output_tokens"]
    assert len(answers) > 150


def test_whole_chat_completions_are_responses_the_openai_sdk_reads(recordings):
    answers = [each for each in of(recordings, "chat") if each.status == 200 and not each.is_stream]
    for recording in answers:
        original = json.loads(recording.answer)
        message = original["choices"][0]["message"]
        items = whole("chat", recording.answer)["output"]
        parts = [part for item in items if item["type"] == "message" for part in item["content"]]
        assert "".join(part.get("text", "") for part in parts) == (message["content"] or "")
        assert "".join(part.get("refusal", "") for part in parts) == (message.get("refusal") or "")
        calls = [item for item in items if item["type"] == "function_call"]
        assert [(call["call_id"], call["name"], call["arguments"]) for call in calls] == [
            (call["id"], call["function"]["name"], call["function"]["arguments"] or "{}")
            for call in message.get("tool_calls") or ()
        ]
    assert len(answers) > 90


@pytest.mark.parametrize("api", ["messages", "chat"])
def test_recorded_streams_put_together_are_what_the_whole_answer_would_have_been(recordings, api):
    together = original_message if api == "messages" else completion_of
    streams = [recording for recording in of(recordings, api) if recording.is_stream]
    for recording in streams:
        found, expected = streamed(api, recording.answer), whole(api, together(recording.answer))
        for response in (found, expected):
            for item in response["output"]:
                if item["type"] == "function_call":
                    item["arguments"] = json.loads(item["arguments"])  # white space may differ
        assert found == expected
    assert streams


@pytest.mark.parametrize("api", ["messages", "chat"])
def test_recorded_streams_split_anywhere_are_translated_to_the_same_bytes(recordings, sse_module, api):
    for recording in [recording for recording in of(recordings, api) if recording.is_stream]:
        at_once = run(STREAMS[api](context(), NOW), recording.answer)
        translator, decoder, out = STREAMS[api](context(), NOW), sse_module.SSEDecoder(), b""
        for index in range(len(recording.answer)):
            out += translator.feed(decoder.feed(recording.answer[index : index + 1]))
        out += translator.feed(decoder.finish()) + translator.finish()
        assert out == at_once
        response_of(out)
