"""Messages made of OpenAI's answers have every field that the SDK's types name, and no other but the mark of an estimate.

The types are those of the SDK that is installed: a field that a later version adds fails here.
"""

from __future__ import annotations

import json

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

from edge.cache.replay_messages import message_events, whole_message
from edge.dialects.translation import Context
from edge.dialects.translators import TRANSLATORS
from tests.unit.test_translation_streams import USAGE, chunk, counts, piece
from tests.unit.translating import NOW, call, events_of, message_of, run, sse, unset

APIS = [(False, Message, RawMessageStreamEvent), (True, BetaMessage, BetaRawMessageStreamEvent)]
SAID = {"content": "x", "reasoning_content": "hm", "tool_calls": [call("call_1")]}
COUNTED = {
    **USAGE,
    "prompt_tokens_details": {
        "cached_tokens": 3,
        "cache_write_tokens": 2,
        "cache_write_tokens_details": {"ttl_12h_tokens": 1},
    },
    "completion_tokens_details": {"reasoning_tokens": 4},
}
ANSWERS = {
    "all there is": ({**SAID, "content": "x"}, "tool_calls", COUNTED),
    "text": ({"content": "x"}, "stop", USAGE),
    "nothing": ({"content": None}, "length", None),
    "refusal": ({"content": None, "refusal": "No."}, "stop", USAGE),
    "filtered": ({"content": ""}, "content_filter", USAGE),
}


def whole(said, finish, usage, context):
    choice = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "model": "gpt", "choices": [choice], "usage": usage, "service_tier": "default"}
    return json.loads(TRANSLATORS["messages", "chat"].answer(json.dumps(body).encode(), context, NOW))


def streamed(said, finish, usage):
    calls = [piece(0, "{}", "call_1", "look")] if said.get("tool_calls") else None
    first = {name: said[name] for name in ("reasoning_content", "content", "refusal") if said.get(name)}
    last = [counts(**usage)] if usage else []
    return sse(chunk(**first), *([chunk(tool_calls=calls)] if calls else ()), chunk(finish), *last, "[DONE]")


def extra(model, at=""):
    """What is there and has no field."""
    found = []
    if isinstance(model, BaseModel):
        found += [f"{at}.{name}" for name in model.model_extra or ()]
        for name in type(model).model_fields:
            found += extra(getattr(model, name), f"{at}.{name}")
    elif isinstance(model, list):
        found += [field for number, item in enumerate(model) for field in extra(item, f"{at}[{number}]")]
    return found


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("beta", "kind", "events"), APIS, ids=["ga", "beta"])
def test_a_message_has_every_field_and_null_where_there_is_nothing(answer, beta, kind, events):
    said, finish, usage = ANSWERS[answer]
    message = whole(said, finish, usage, Context(beta=beta))
    model = TypeAdapter(kind).validate_python(message)
    assert unset(model) == []
    assert extra(model) == ([".usage.estimated"] if usage is None else [])


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("beta", "kind", "events"), APIS, ids=["ga", "beta"])
def test_so_have_its_events(answer, beta, kind, events):
    translator = TRANSLATORS["messages", "chat"].stream(Context(beta=beta), NOW)
    message = message_of(run(translator, streamed(*ANSWERS[answer])), TypeAdapter(events), TypeAdapter(kind))
    assert message["stop_reason"] == whole(*ANSWERS[answer], Context())["stop_reason"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_kept_answer_has_them_in_either_form(answer):
    message = whole(*ANSWERS[answer], Context(input_tokens=5))
    stream = b"".join(message_events(json.dumps(message).encode()))
    assert message_of(stream) == message
    made = run(TRANSLATORS["messages", "chat"].stream(Context(input_tokens=5), NOW), streamed(*ANSWERS[answer]))
    assert json.loads(whole_message(events_of(made))) == message_of(made)


def test_what_there_is_stands_in_its_field():
    message = whole(*ANSWERS["all there is"], Context())
    assert message["usage"] == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 3,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 1},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": None,
        "inference_geo": None,
        "service_tier": "standard",
        "speed": None,
    }
    thinking, text, use = message["content"]
    assert thinking == {"type": "thinking", "thinking": "hm", "signature": ""}
    assert text == {"type": "text", "text": "x", "citations": None}
    assert (use["caller"], use["toolset_name"]) == (None, None)
    refused = whole(*ANSWERS["refusal"], Context())
    assert refused["stop_details"] == {"type": "refusal", "category": None, "explanation": "No."}


class TestCounts:
    """What a client is told of tokens before the count comes, and where it never does."""

    def events(self, *chunks, context):
        out = run(TRANSLATORS["messages", "chat"].stream(context, NOW), sse(*chunks))
        found = {}
        for line in out.decode().splitlines():
            if line.startswith("data: "):
                event = json.loads(line[6:])
                found[event["type"]] = event
        return found["message_start"]["message"]["usage"], found["message_delta"]["usage"]

    def test_a_stream_begins_with_the_estimate_and_ends_with_the_count(self):
        context = Context(input_tokens=31)
        begun, ended = self.events(chunk(content="x"), chunk("stop"), counts(**USAGE), "[DONE]", context=context)
        assert (begun["input_tokens"], begun["output_tokens"]) == (31, 0)
        assert (ended["input_tokens"], ended["output_tokens"]) == (5, 9)
        assert "estimated" not in ended
        assert context.told is None

    @pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0}])
    def test_where_nobody_counts_the_estimate_stays(self, usage):
        context = Context(input_tokens=31)
        last = [] if usage is None else [counts(**usage)]
        begun, ended = self.events(chunk(content="x" * 43), chunk("stop"), *last, "[DONE]", context=context)
        assert begun["input_tokens"] == ended["input_tokens"] == context.told.input == 31
        assert ended["output_tokens"] == context.told.output == 10
        assert ended["estimated"] is True

    def test_a_half_of_the_counts_is_kept(self):
        context = Context(input_tokens=31)
        _, ended = self.events(
            chunk(content="x" * 43), chunk("stop"), counts(prompt_tokens=12), "[DONE]", context=context
        )
        assert (ended["input_tokens"], ended["output_tokens"], ended["estimated"]) == (12, 10, True)

    def test_the_estimate_is_made_when_it_is_needed(self):
        context = Context(measure=lambda: 17)
        begun, _ = self.events(chunk(content="x"), chunk("stop"), counts(**USAGE), "[DONE]", context=context)
        assert begun["input_tokens"] == 17
        silent = Context(measure=lambda: 1 / 0)
        whole({"content": "x"}, "stop", USAGE, silent)
        assert silent.told is None

    def test_an_openai_client_is_told_the_estimate_of_an_answer_nobody_counted(self):
        context = Context(measure=lambda: 17)
        body = {"content": [{"type": "text", "text": "word" * 25}], "stop_reason": "end_turn"}
        answer = json.loads(TRANSLATORS["chat", "messages"].answer(json.dumps(body).encode(), context, NOW))
        assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (17, 25)
        assert answer["usage"]["estimated"] is True
        assert context.told.input == 17


class TestThinking:
    """Thinking from servers in OpenAI's dialect: blocks of their own, signed by nobody."""

    def events(self, *chunks):
        out = run(TRANSLATORS["messages", "chat"].stream(Context(), NOW), sse(*chunks))
        message = message_of(out)
        found = [json.loads(line[6:]) for line in out.decode().splitlines() if line.startswith("data: ")]
        return message, found

    def test_a_chunk_of_both_is_thought_first_and_a_signature_ends_the_thought(self):
        used = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
        message, events = self.events(
            chunk(role="assistant", reasoning_content="Let me"),
            chunk(reasoning_content=" think."),
            chunk(reasoning_content=" Done", content="The"),
            *(chunk(content=" answer"), chunk("stop"), counts(**used), "[DONE]"),
        )
        thinking, text = message["content"]
        assert (thinking["thinking"], text["text"]) == ("Let me think. Done", "The answer")
        signed = [event for event in events if event.get("delta", {}).get("type") == "signature_delta"]
        assert [(event["index"], event["delta"]["signature"]) for event in signed] == [(0, "")]
        assert events[events.index(signed[0]) + 1] == {"type": "content_block_stop", "index": 0}
        (last,) = (event for event in events if event["type"] == "message_delta")
        assert last["delta"]["stop_reason"] == "end_turn"
        assert (last["usage"]["input_tokens"], last["usage"]["output_tokens"]) == (9, 7)

    @pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
    def test_thinking_that_comes_again_after_text_is_a_block_of_its_own(self, field):
        message, events = self.events(
            *(chunk(**{field: "a"}), chunk(content="b"), chunk(**{field: "c"}), chunk(content="d")),
            *(chunk(tool_calls=[piece(0, "{}", "call_1", "look")]), chunk("tool_calls"), "[DONE]"),
        )
        assert [block["type"] for block in message["content"]] == ["thinking", "text", "thinking", "text", "tool_use"]
        assert [event["index"] for event in events if event["type"] == "content_block_start"] == [0, 1, 2, 3, 4]
        assert sum(event.get("delta", {}).get("type") == "signature_delta" for event in events) == 2

    def test_a_mixed_chunk_within_a_call_waits_for_the_calls_end(self):
        message, _ = self.events(
            chunk(tool_calls=[piece(0, '{"a"', "call_1", "look")]),
            chunk(reasoning_content="h", content="x"),
            *(chunk(tool_calls=[piece(0, ":1}")]), chunk("tool_calls"), "[DONE]"),
        )
        assert [block["type"] for block in message["content"]] == ["tool_use", "thinking", "text"]
        assert message["content"][0]["input"] == {"a": 1}
