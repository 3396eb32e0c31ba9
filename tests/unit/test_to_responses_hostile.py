"""Whatever a client or a provider sends on the way to Responses and back is translated, refused, or the provider's fault."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from edge._fast import SSEDecoder
from edge.dialects.translation import Context, decode_value
from edge.dialects.translators import TRANSLATORS
from edge.errors import ClientError, UpstreamBadResponse
from edge.slices import finished
from tests.unit.responding import ASTRA, SEAL, called, message, refused, response, said, streamed, thought
from tests.unit.test_translation_hostile import CHAT, MESSAGES, mutated, small
from tests.unit.translating import NOW, USER, events_of

CLIENTS = pytest.mark.parametrize("client", ["messages", "chat"])
REQUESTS = {"messages": MESSAGES, "chat": CHAT}
MODELS = [ASTRA, "gpt-4o", "gpt-5-codex", "local"]
NOTED = {"type": "url_citation", "url": "https://x.test", "title": "X", "start_index": 0, "end_index": 1}
CUSTOM = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_9", "name": "patch", "input": "*"}
ITEMS = (thought(text="a|b"), said("Hello", annotations=[NOTED]), refused("No."), thought(2), called(), CUSTOM)


def sealed_turn(client):
    """A turn of the assistant with thoughts of OpenAI's, as a client sends it back."""
    if client == "messages":
        return {"role": "assistant", "content": message(thought(text="a"), said("x"), thought(2), called())["content"]}
    blocks = [{"type": "redacted_thinking", "data": SEAL.reasoning({**thought(), "before": "call_1"})}]
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return {"role": "assistant", "content": "x", "thinking_blocks": blocks, "tool_calls": [call]}


@pytest.mark.once
@CLIENTS
def test_any_request_is_translated_or_refused(client):
    rng = random.Random(1)
    whole = {**REQUESTS[client], "messages": [*REQUESTS[client]["messages"], sealed_turn(client), USER]}
    outcomes = {"translated": 0, "refused": 0}
    for _ in range(2500):
        body = json.dumps(mutated(rng, whole)).encode()
        made = TRANSLATORS[client, "responses"].opens(rng.choice(MODELS))
        made.context.seal = SEAL
        try:
            made.at_once(body)
        except ClientError as error:
            assert error.status == 400
            outcomes["refused"] += 1
        else:
            outcomes["translated"] += 1
    assert min(outcomes.values()) > 100


@pytest.mark.once
@CLIENTS
def test_any_answer_is_translated_or_the_providers_fault(client):
    rng = random.Random(2)
    translated = 0
    for _ in range(1500):
        body = json.dumps(mutated(rng, response(*ITEMS))).encode()
        try:
            made = TRANSLATORS[client, "responses"].answer(body, Context(legacy_functions=rng.random() < 0.2), NOW)
        except UpstreamBadResponse:
            continue
        assert isinstance(msgspec.json.decode(made), dict)
        translated += 1
    assert 0 < translated < 1500


@pytest.mark.once
@CLIENTS
def test_any_stream_is_translated_or_the_providers_fault(client):
    rng = random.Random(3)
    events = [(name, json.loads(data)) for name, data in events_of(streamed(*ITEMS))]
    translated = 0
    for _ in range(1500):
        translator = TRANSLATORS[client, "responses"].stream(Context(legacy_functions=rng.random() < 0.2), NOW)
        out = b""
        try:
            for name, event in events:
                odd = mutated(rng, event) if rng.random() < 0.1 else event
                if rng.random() > 0.03:
                    out += translator.feed([(name, json.dumps(odd).encode())])
            out += translator.finish()
        except UpstreamBadResponse:
            continue
        decoder = SSEDecoder()
        assert all(data == b"[DONE]" or isinstance(msgspec.json.decode(data), dict) for _, data in decoder.feed(out))
        translated += 1
    assert 0 < translated < 1500


@pytest.mark.once
@CLIENTS
def test_recordings_with_something_odd_in_them(recordings, client):
    rng = random.Random(4)
    answers = [each for each in small(recordings, "/v1/responses") if each.status == 200]
    for _ in range(600):
        recording, context = rng.choice(answers), Context()
        try:
            if recording.is_stream:
                translator = TRANSLATORS[client, "responses"].stream(context, NOW)
                for name, data in events_of(recording.answer):
                    if rng.random() < 0.05:
                        data = json.dumps(mutated(rng, json.loads(data))).encode()
                    translator.feed([(name, data)])
                translator.finish()
            else:
                body = json.dumps(mutated(rng, json.loads(recording.answer))).encode()
                TRANSLATORS[client, "responses"].answer(body, context, NOW)
        except UpstreamBadResponse:
            pass


@CLIENTS
def test_a_large_request_becomes_in_steps_what_a_small_one_becomes_at_once(client):
    long = "It is a long text. " * 5000
    turns = [{"role": "user", "content": f"{number} {long}"} for number in range(6)]
    request = {**REQUESTS[client], "messages": [*turns, *REQUESTS[client]["messages"], sealed_turn(client), USER]}
    body = json.dumps(request).encode()
    translator = TRANSLATORS[client, "responses"]
    made = [translator.opens(ASTRA) for _ in range(2)]
    for each in made:
        each.context.seal = SEAL
    whole, large = made[0].at_once(body), finished(translator.large_request(made[1], body))
    assert decode_value(large.body) == decode_value(whole.body)
    assert (large.dropped, large.context.input_tokens) == (whole.dropped, whole.context.input_tokens)


@CLIENTS
def test_a_large_answer_becomes_in_steps_what_a_small_one_becomes_at_once(client):
    long = {**thought(text="long"), "encrypted_content": "gAAAAB" * 20_000}
    body = json.dumps(response(long, said("It is a long text. " * 20_000), called())).encode()
    translator = TRANSLATORS[client, "responses"]
    whole, large = (
        translator.answer(body, Context(seal=SEAL), NOW),
        finished(translator.large_answer(body, Context(seal=SEAL), NOW)),
    )
    assert json.loads(large) == json.loads(whole)


def test_a_long_summary_is_shown_and_not_sealed():
    body = json.dumps(response(thought(text="long " * 60_000), called())).encode()
    translator = TRANSLATORS["messages", "responses"]
    made = json.loads(finished(translator.large_answer(body, Context(seal=SEAL), NOW)))
    assert made["content"][0]["thinking"] == "long " * 60_000
    opened = SEAL.open_reasoning(made["content"][0]["signature"])
    assert opened == {**thought(), "summary": []}


def test_a_failed_response_that_does_not_say_why_is_an_error_of_the_server():
    failed = {"type": "response.failed", "response": {"status": "failed", "error": None}, "sequence_number": 1}
    made = TRANSLATORS["chat", "responses"].stream(Context(seal=SEAL, request_id="r1"), NOW)
    ((_, data),) = events_of(made.feed([(b"response.failed", json.dumps(failed).encode())]))
    assert json.loads(data)["error"]["type"] == "server_error"
