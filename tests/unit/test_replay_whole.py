"""The JSON answer that a stored stream stands for, held against what the SDKs put together from the same bytes."""

from __future__ import annotations

import gc
import json

import pytest
from anthropic.types.beta import BetaMessage
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import TypeAdapter

from edge.cache.replay import events, whole
from edge.cache.storable import storable
from tests.unit.replaying import BODIES, SPLITS, api_of, entry, joined, shown, streams
from tests.unit.translating import sse

pytestmark = [pytest.mark.slow, pytest.mark.once]

GENERATE = (Phase.explicit, Phase.reuse, Phase.generate)
"""An SDK's client is too slow to look for the smallest case with."""
TYPES = {"chat": ChatCompletion, "completions": Completion, "messages": BetaMessage, "responses": Response}


def put_together(api, *values):
    body = whole(entry(api, sse(*values), True))
    return None if body is None else json.loads(body)


def check_type(api, body):
    """The SDK's type takes it with every field in its place; unknown kinds of blocks and items aside."""
    TypeAdapter(TYPES[api]).validate_json(body)


@pytest.mark.slow
def test_recorded_streams_are_the_answers_that_the_sdks_put_together(recordings, capsys):
    seen = dict.fromkeys(("chat", "messages", "responses"), 0)
    for recording in recordings:
        if recording.status != 200 or not recording.is_stream:
            continue
        api = api_of(recording)
        stored = entry(api, recording.answer, True)
        body = whole(stored)
        assert body is not None, recording.name
        assert storable(api, body, False)
        assert shown(api, body, False) == shown(api, recording.answer, True), recording.name
        if api == "chat":
            check_type(api, body)
        seen[api] += 1
    with capsys.disabled():
        print(f"\nstreams put together as by the SDK: {seen}")
    assert seen == {"chat": 28, "messages": 6, "responses": 14}


@pytest.mark.parametrize("api", list(SPLITS))
@settings(max_examples=50)
@given(data=st.data())
def test_generated_streams_are_the_answers_they_were_cut_from(api, data):
    body, written = data.draw(streams(api))
    found = whole(entry(api, b"".join(written), True))
    assert found is not None
    assert json.loads(found) == body


def as_the_sdks_can_read(body):
    """One choice, and no fields but the SDKs': their helpers refuse some orders of choices, and lose late fields."""
    if "choices" in body:
        plain = {"index", "message", "finish_reason", "logprobs"}
        body["choices"] = [{key: value for key, value in body["choices"][0].items() if key in plain}]
    else:
        known = ("text", "thinking", "redacted_thinking", "tool_use")
        body["content"] = [block for block in body["content"] if block["type"] in known]
        for block in body["content"]:
            block.pop("citations", None)
        body.pop("container", None)
    return body


@pytest.mark.parametrize("api", ["chat", "messages"])
@settings(max_examples=15, phases=GENERATE)
@given(data=st.data())
def test_generated_streams_are_what_the_sdks_put_together(api, data):
    _, written = data.draw(streams(api, plain=True, change=as_the_sdks_can_read))
    stream = b"".join(written)
    assert shown(api, whole(entry(api, stream, True)), False) == shown(api, stream, True)


@pytest.mark.parametrize("api", [*BODIES])
@settings(max_examples=50)
@given(data=st.data())
def test_a_stream_made_of_an_answer_is_that_answer(api, data):
    body = data.draw(BODIES[api])
    made = events(entry(api, json.dumps(body).encode()), include_usage=True)
    stream = joined(made)
    assert storable(api, stream, True, choices=len(body.get("choices", "1")))
    assert json.loads(whole(entry(api, stream, True))) == body


@pytest.mark.slow
def test_a_recorded_answer_survives_as_a_stream_and_the_sdks_show_the_same(recordings, capsys):
    seen = {"chat": 0, "messages": 0, "responses": 0}
    for recording in recordings:
        api = api_of(recording)
        if recording.is_stream or not storable(api, recording.answer, False):
            continue
        made = events(entry(api, recording.answer), include_usage=True)
        if api not in seen:
            assert made is None
            continue
        assert all(at == 0 for at, _ in made)
        stream = joined(made)
        assert storable(api, stream, True), recording.name
        assert json.loads(whole(entry(api, stream, True))) == json.loads(recording.answer)
        assert shown(api, stream, True) == shown(api, recording.answer, False), recording.name
        seen[api] += 1
    with capsys.disabled():
        print(f"\nanswers made into streams and back: {seen}")
    assert seen == {"chat": 97, "messages": 142, "responses": 119}


def chunk(delta=None, finish=None, index=0, **fields):
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **fields}


USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
COUNTED = {**chunk(), "choices": [], "usage": USAGE}


def said(*deltas, usage=COUNTED):
    answer = put_together("chat", *(chunk(delta) for delta in deltas), chunk(finish="stop"), usage, "[DONE]")
    return None if answer is None else answer["choices"][0]["message"]


def calls(*parts):
    return said(*({"tool_calls": [part]} for part in parts))


class TestChat:
    def test_what_deltas_say_is_joined_and_nulls_say_nothing(self):
        message = said(
            {"role": "assistant", "content": None},
            {"role": "assistant", "reasoning_content": "h", "vendor": {"trace": "a", "n": 1}},
            {"role": None, "reasoning_content": "m", "vendor": {"trace": "b", "n": 1}, "annotations": [{"url": 1}]},
            {"content": "", "annotations": [{"url": 2}], "refusal": "n"},
            {"content": "x", "reasoning_content": None, "refusal": "o"},
        )
        assert message == {
            "role": "assistant",
            "content": "x",
            "reasoning_content": "hm",
            "vendor": {"trace": "ab", "n": 1},
            "annotations": [{"url": 1}, {"url": 2}],
            "refusal": "no",
        }

    def test_tool_calls_come_in_any_order_and_leave_without_their_index(self):
        head = {"type": "function", "function": {"name": "look", "arguments": ""}}
        message = calls(
            {"index": 1, "id": "b", **head},
            {"index": 0, "id": "a", **head},
            {"index": 1, "function": {"arguments": '{"x"'}},
            {"index": 0, "id": "", "function": {"arguments": "{}"}},
            {"index": 1, "id": "b", "function": {"arguments": ":1}"}},
        )
        assert message["content"] is None
        assert [(call["id"], call["function"]["arguments"]) for call in message["tool_calls"]] == [
            ("a", "{}"),
            ("b", '{"x":1}'),
        ]
        assert all("index" not in call for call in message["tool_calls"])

    def test_thinking_blocks_leave_without_theirs_and_a_made_stream_has_it_again(self):
        blocks = [
            {"type": "thinking", "thinking": "", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "eA=="},
        ]
        message = said(*({"thinking_blocks": [{"index": number, **each}]} for number, each in enumerate(blocks)))
        assert message["thinking_blocks"] == blocks
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE}
        answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        made = joined(events(entry("chat", json.dumps(answer).encode(), False), include_usage=True))
        assert b'"signature":"c2ln","index":0}' in made
        assert json.loads(whole(entry("chat", made, True)))["choices"][0]["message"]["thinking_blocks"] == blocks

    @pytest.mark.parametrize(
        "parts",
        [
            [{"index": 0, "id": "a", "function": {"name": "x"}}, {"index": 0, "id": "b", "function": {"name": "y"}}],
            [{"index": 0, "id": "a", "function": {"name": "lo"}}, {"index": 0, "function": {"name": "ok"}}],
            [{"index": 0, "id": "a", "function": {"name": "x"}}, {"index": 0, "function": {"name": "x"}}],
            [{"id": "a", "function": {"name": "x", "arguments": "{"}}, {"function": {"arguments": "}"}}],
            [{"index": 0, "id": "a", "n": 1}, {"index": 0, "n": 2}],
            [{"index": "0", "id": "a"}],
            [{"index": -1, "id": "a"}],
            [{"index": True, "id": "a"}],
        ],
    )
    def test_what_clients_would_put_together_differently_is_a_miss(self, parts):
        assert calls(*parts) is None

    def test_log_probabilities_grow(self):
        one, two = {"token": "a", "logprob": -0.25}, {"token": "b", "logprob": -1.0, "top_logprobs": []}
        parts = [chunk({"content": "a"}), chunk({"content": "b"}), chunk(), chunk(finish="stop")]
        for part, content in zip(parts, ([one], [two], [], None), strict=True):
            part["choices"][0]["logprobs"] = None if content is None else {"content": content, "refusal": None}
        stream = sse(*parts, COUNTED, "[DONE]")
        body = whole(entry("chat", stream, True))
        assert json.loads(body)["choices"][0]["logprobs"] == {"content": [one, two], "refusal": None}
        exact = whole(entry("chat", stream.replace(b"-0.25", b"-0.2500000000000000000001"), True))
        assert b'"logprob":-0.2500000000000000000001' in exact

    def test_other_fields_are_kept_and_the_first_chunk_of_azure_is_no_head(self):
        azure = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [1]}
        safe, late = chunk({"content": "x"}), chunk(finish="stop", x_vendor=2, obfuscation="abc")
        safe["choices"][0]["content_filter_results"] = {"hate": False}
        late["choices"][0] |= {"content_filter_results": {"self_harm": False}, "stop_reason": 7}
        answer = put_together("chat", azure, safe, late, COUNTED, "[DONE]")
        assert (answer["id"], answer["created"], answer["model"], answer["object"]) == ("c", 1, "m", "chat.completion")
        assert (answer["prompt_filter_results"], answer["x_vendor"]) == ([1], 2)
        choice = answer["choices"][0]
        assert choice["content_filter_results"] == {"hate": False, "self_harm": False}
        assert choice["stop_reason"] == 7
        assert "obfuscation" not in answer

    def test_usage_counts_wherever_it_comes_and_without_it_there_is_no_answer(self):
        assert put_together("chat", chunk(finish="stop", usage=USAGE), "[DONE]")["usage"] == USAGE
        assert put_together("chat", chunk(finish="stop", usage=None), "[DONE]") is None
        assert put_together("chat", chunk(finish="stop"), "[DONE]") is None
        assert put_together("completions", {"choices": [{"text": "x", "finish_reason": "stop"}]}, "[DONE]") is None

    def test_sound_in_pieces_that_cannot_be_joined_is_a_miss(self):
        assert said({"audio": {"id": "a", "data": "AAAA"}}, {"audio": {"data": "AA=="}})["audio"]["data"] == "AAAAAA=="
        assert said({"audio": {"id": "a", "data": "AA=="}}, {"audio": {"data": "AAAA"}}) is None

    def test_a_long_answer_takes_time_in_proportion(self):
        """40,000 deltas of 100 bytes: adding them up one by one would copy 80 GB."""
        one = sse(chunk({"content": "x" * 100}))
        stream = one * 40_000 + sse(chunk(finish="stop"), COUNTED, "[DONE]")
        assert len(json.loads(whole(entry("chat", stream, True)))["choices"][0]["message"]["content"]) == 4_000_000


START = {
    "type": "message_start",
    "message": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": [],
        "stop_reason": None,
        "container": None,
        "usage": {"input_tokens": 5, "output_tokens": 1, "x": 1},
    },
}
END = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None, "container": {"id": "c"}},
    "usage": {"output_tokens": 9, "input_tokens": None, "cache_read_input_tokens": 2},
    "context_management": {"applied_edits": []},
}
STOP = {"type": "message_stop"}


def message(block, *deltas):
    parts = [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas]
    begin = {"type": "content_block_start", "index": 0, "content_block": block}
    return put_together("messages", START, begin, *parts, {"type": "content_block_stop", "index": 0}, END, STOP)


class TestMessages:
    def test_later_counts_replace_earlier_ones_and_nulls_none(self):
        answer = put_together("messages", START, END, STOP)
        assert answer["usage"] == {"input_tokens": 5, "output_tokens": 9, "x": 1, "cache_read_input_tokens": 2}
        assert answer["container"] == {"id": "c"}
        assert answer["context_management"] == {"applied_edits": []}
        assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)

    def test_a_tools_input_is_what_its_json_says_digit_by_digit(self):
        block = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
        pieces = ['{"a":', " 1.10,", '"b":123456789012345678901234567890}']
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        assert message(block)["content"] == [block]
        assert message(block, {"type": "input_json_delta", "partial_json": ""})["content"] == [block]
        assert message(block, *deltas)["content"][0]["input"] == {"a": 1.10, "b": 123456789012345678901234567890}
        assert message(block, *deltas[:2]) is None

    def test_a_compaction_replaces_its_content(self):
        answer = message({"type": "compaction", "content": None}, {"type": "compaction_delta", "content": "short"})
        assert answer["content"] == [{"type": "compaction", "content": "short"}]

    @pytest.mark.parametrize(
        "values",
        [
            [END, STOP],
            [START, START, END, STOP],
            [START, END],
            [START, STOP],
            [
                START,
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
                END,
                STOP,
            ],
            [START, {"type": "content_block_start", "index": 1, "content_block": {"type": "text"}}, END, STOP],
            [START, {"type": "of_tomorrow"}, END, STOP],
            [START, {"type": "error", "error": {}}, END, STOP],
            [START, END, STOP, END],
        ],
    )
    def test_events_that_make_no_sense_are_a_miss(self, values):
        assert put_together("messages", *values) is None

    def test_a_delta_of_an_unknown_kind_is_a_miss(self):
        assert message({"type": "text", "text": ""}, {"type": "of_tomorrow", "text": "x"}) is None
        assert message({"type": "text", "text": ""}, {"type": "text_delta", "text": 3}) is None


def test_a_response_is_the_bytes_of_its_last_event():
    response = b'{"id": "r",  "status":"completed","output":[{"type":"message"}],"n":1.10}'
    stream = b'event: response.completed\ndata: {"type":"response.completed","response":%b}\n\n' % response
    assert whole(entry("responses", stream, True)) == response
    done = sse({"type": "response.output_item.done", "item": {}})
    empty = stream.replace(b'[{"type":"message"}]', b"[]")
    assert whole(entry("responses", empty, True)) is not None
    assert whole(entry("responses", done + empty, True)) is None
    assert whole(entry("responses", done, True)) is None


def test_an_answer_born_as_json_is_its_own_body():
    for api in ("chat", "embeddings", "count_tokens", "other"):
        stored = entry(api, b'{"a" : 1}')
        assert whole(stored) == b'{"a" : 1}'


@pytest.fixture
def collected():
    """What other tests have left is collected where there is stack for its finalizers, not while deep JSON is read."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("api", ["chat", "completions", "messages", "responses", "embeddings", "other"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_raise_an_error(api, data):
    loose = st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "message_start", "text_delta"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    "type index choices delta usage message content id text tool_calls function logprobs response output "
                    "finish_reason content_block citations stop_reason input name error item".split()
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
    values = data.draw(st.lists(loose, max_size=4))
    stream = b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values) + b"data: [DONE]\n\n"
    for body in (stream, data.draw(st.binary(max_size=80)), b"data: " + b"[" * 9000 + b"\n\n"):
        told = whole(entry(api, body, True))
        assert told is None or isinstance(json.loads(told), dict)
        played = events(entry(api, body, True), include_usage=data.draw(st.booleans()))
        assert played is None or len(joined(played)) <= len(body)
    for value in values:
        played = events(entry(api, json.dumps(value).encode()), include_usage=data.draw(st.booleans()))
        assert played is None or all(isinstance(chunk, bytes) and chunk for _, chunk in played)
    assert not events(entry(api, b"[" * 100_000), include_usage=True)
