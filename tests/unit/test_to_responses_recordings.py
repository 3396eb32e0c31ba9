"""Real exchanges on their way to Responses and back: what the official SDKs would have sent, and what they can read."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from openai.types.responses import response_create_params

from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from edge.errors import EdgeError
from tests.unit.test_translation_recordings import of
from tests.unit.translating import COMPLETION, MESSAGE, NOW, check, completion_of, events_of, message_of, run, unset

pytestmark = [pytest.mark.slow, pytest.mark.once]

CLIENTS = ("messages", "chat")
MODELS = ("gpt-6-astra", "gpt-5.6-terra", "gpt-5.2", "gpt-5-codex", "o3-pro", "gpt-4o", "local")


def check_responses_request(body):
    """A request the openai SDK could have sent."""
    request = json.loads(body)
    streams = request.get("stream") is True
    kinds = response_create_params
    kind = kinds.ResponseCreateParamsStreaming if streams else kinds.ResponseCreateParamsNonStreaming
    faults = check(request, kind)
    assert faults == [], json.dumps(request)[:2000]
    assert request["store"] is False
    return request


def responses(recordings):
    found = [each for each in recordings if each.path.partition("?")[0] == "/v1/responses" and each.status == 200]
    if not found:
        pytest.skip("EDGE_RECORDINGS names no recordings")
    return [each for each in found if each.is_stream or json.loads(each.answer).get("object") == "response"]


def ended(stream):
    """The response that a stream ends with, None for one that was cut off. Its items are those of the events, for
    OpenAI encrypts a thought for each of the two anew.
    """
    items = {}
    for _, data in events_of(stream):
        event = json.loads(data)
        if event["type"] == "response.output_item.done":
            items[event["item"]["id"]] = event["item"]
        if event["type"] in ("response.completed", "response.incomplete"):
            return {
                **event["response"],
                "output": [items.get(item["id"], item) for item in event["response"]["output"]],
            }
    return None


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_request_becomes_one_the_sdk_could_have_sent_or_a_400_that_names_a_field(recordings, capsys, client, model):
    translated, refused, dropped = 0, Counter(), Counter()
    for recording in of(recordings, client):
        try:
            result = TRANSLATORS[client, "responses"].request(recording.body, model)
        except EdgeError as error:
            assert error.status == 400
            assert error.param
            assert error.param.partition("[")[0].partition(".")[0] in recording.request
            refused[error.param.rpartition("]")[2].lstrip(".") or error.param] += 1
            continue
        check_responses_request(result.body)
        dropped.update(result.dropped)
        translated += 1
    assert translated > 100
    with capsys.disabled():
        reasons = ", ".join(f"{name}: {count}" for name, count in refused.items())
        lost = ", ".join(f"{name}: {count}" for name, count in dropped.most_common(12))
        print(f"\n{client} to Responses for {model}: {translated} translated, {refused.total()} refused ({reasons})")
        print(f"  dropped {lost}")


def said_in(response):
    """The texts, the calls and the thoughts of a response."""
    texts, calls, thoughts = [], [], []
    for item in response["output"]:
        if item["type"] == "message":
            texts += [part["text"] for part in item["content"] if part["type"] == "output_text"]
        elif item["type"] == "function_call":
            calls.append((item["call_id"], item["name"], json.loads(item["arguments"] or "{}")))
        elif item["type"] == "reasoning" and item.get("encrypted_content"):
            thoughts.append(item["encrypted_content"])
    return "".join(texts), calls, thoughts


def test_whole_responses_are_messages_the_anthropic_sdk_reads(recordings, capsys):
    count = 0
    for recording in [each for each in responses(recordings) if not each.is_stream]:
        response, context = json.loads(recording.answer), Context()
        message = json.loads(TRANSLATORS["messages", "responses"].answer(recording.answer, context, NOW))
        assert unset(MESSAGE.validate_python(message)) == []
        texts, calls, thoughts = said_in(response)
        content = message["content"]
        assert "".join(block["text"] for block in content if block["type"] == "text") == texts
        used = [(block["id"], block["name"], block["input"]) for block in content if block["type"] == "tool_use"]
        assert used == calls
        sealed = [block.get("signature") or block.get("data") for block in content if "thinking" in block["type"]]
        opened = [context.seal.open_reasoning(each) for each in sealed if each]
        assert [item["encrypted_content"] for item in opened] == thoughts
        usage, counted = message["usage"], response["usage"]
        if counted is not None:
            read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
            assert usage["input_tokens"] + read + written == counted["input_tokens"]
            assert usage["output_tokens"] == counted["output_tokens"] or (
                usage["estimated"] and not counted["output_tokens"]
            )
        count += 1
    assert count > 60
    with capsys.disabled():
        print(f"\n{count} responses are messages")


def test_whole_responses_are_chat_completions_the_openai_sdk_reads(recordings, capsys):
    count = 0
    for recording in [each for each in responses(recordings) if not each.is_stream]:
        response, context = json.loads(recording.answer), Context()
        completion = json.loads(TRANSLATORS["chat", "responses"].answer(recording.answer, context, NOW))
        COMPLETION.validate_python(completion)
        texts, calls, thoughts = said_in(response)
        said = completion["choices"][0]["message"]
        assert (said["content"] or "") == texts
        called = [(call["id"], call["function"]) for call in said.get("tool_calls", ())]
        assert [(name, said["name"], json.loads(said["arguments"])) for name, said in called] == calls
        sealed = [block.get("signature") or block.get("data") for block in said.get("thinking_blocks", ())]
        opened = [context.seal.open_reasoning(each) for each in sealed if each]
        assert [item["encrypted_content"] for item in opened] == thoughts
        if response["usage"] is not None:
            counts = completion["usage"]
            assert counts["prompt_tokens"] == response["usage"]["input_tokens"]
            told = response["usage"]["output_tokens"]
            assert counts["completion_tokens"] == told or (counts["estimated"] and not told)
        count += 1
    assert count > 60
    with capsys.disabled():
        print(f"\n{count} responses are chat completions")


def test_recorded_streams_put_together_are_what_the_whole_answer_would_have_been(recordings, capsys):
    count = 0
    for recording in [each for each in responses(recordings) if each.is_stream]:
        response = ended(recording.answer)
        if response is None:
            continue
        whole = json.dumps(response).encode()
        message = message_of(run(TRANSLATORS["messages", "responses"].stream(Context(), NOW), recording.answer))
        expected = json.loads(TRANSLATORS["messages", "responses"].answer(whole, Context(), NOW))
        expected["usage"]["service_tier"] = None  # it is told in the first event, and OpenAI says it in the last
        assert message == expected
        stream = TRANSLATORS["chat", "responses"].stream(Context(include_usage=True), NOW)
        completion = completion_of(run(stream, recording.answer))
        expected = json.loads(TRANSLATORS["chat", "responses"].answer(whole, Context(), NOW))
        assert completion == expected
        count += 1
    assert count >= 12
    with capsys.disabled():
        print(f"\n{count} streams of Responses are the whole answers")


@pytest.mark.parametrize("client", CLIENTS)
def test_recorded_streams_split_anywhere_are_translated_to_the_same_bytes(recordings, sse_module, client):
    for recording in [each for each in responses(recordings) if each.is_stream]:
        whole = run(TRANSLATORS[client, "responses"].stream(Context(), NOW), recording.answer)
        translator, decoder, out = TRANSLATORS[client, "responses"].stream(Context(), NOW), sse_module.SSEDecoder(), b""
        for index in range(len(recording.answer)):
            out += translator.feed(decoder.feed(recording.answer[index : index + 1]))
        out += translator.feed(decoder.finish()) + translator.finish()
        assert out == whole


def test_recorded_errors_keep_their_status_and_message(recordings):
    errors = 0
    for recording in recordings:
        if recording.path.partition("?")[0] == "/v1/responses" and recording.status >= 400:
            said = json.loads(recording.answer)["error"]["message"]
            for client in CLIENTS:
                status, body = TRANSLATORS[client, "responses"].error(recording.status, recording.answer, "req_1")
                assert (status, json.loads(body)["error"]["message"]) == (recording.status, said)
                errors += 1
    assert errors >= 2
