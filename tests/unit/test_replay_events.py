"""Streams from stored answers: as they came, with or without their usage, or made of JSON."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from edge.cache import replay
from edge.cache.replay import events, whole
from tests.unit.replaying import BODIES, api_of, entry, joined, shown, streams
from tests.unit.translating import CHUNK, EVENT, events_of, sse

pytestmark = pytest.mark.once

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def chunk(text="", finish=None, **fields):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **fields}


def counted(**fields):
    return {**chunk(), "choices": [], "usage": USAGE, **fields}


def cut_anywhere(data, stream):
    """Chunks of an entry: writes of any sizes, at any times."""
    ends = sorted({*data.draw(st.lists(st.integers(1, len(stream)), max_size=6)), len(stream)})
    times = sorted(data.draw(st.lists(st.integers(0, 9), min_size=len(ends), max_size=len(ends))))
    return tuple(zip(times, ends, strict=True))


@pytest.mark.parametrize("api", ["chat", "completions", "messages", "responses"])
@settings(max_examples=30)
@given(data=st.data())
def test_a_stream_is_replayed_byte_for_byte_in_its_own_chunks(api, data):
    _, written = data.draw(streams(api if api in BODIES else "messages"))
    stream = b"".join(written)
    chunks = cut_anywhere(data, stream)
    played = events(entry(api, stream, chunks=chunks), include_usage=True)
    starts = [0, *(end for _, end in chunks)]
    assert played == [(at, stream[start:end]) for (at, end), start in zip(chunks, starts, strict=False)]


@pytest.mark.slow
@pytest.mark.parametrize("api", ["chat", "completions"])
@settings(max_examples=100)
@given(data=st.data())
def test_who_did_not_ask_for_usage_gets_all_but_that_event_however_it_was_written(api, data):
    _, written = data.draw(streams(api))
    stream = b"".join(written)
    # A comment right after the usage is an event of its own; the usage is the last event with data before the end.
    at = max(index for index, item in enumerate(written[:-1]) if b"data" in item)
    expected = b"".join(written[:at] + written[at + 1 :])
    chunks = cut_anywhere(data, stream)
    stored = entry(api, stream, chunks=chunks)
    played = events(stored, include_usage=False)
    assert joined(played) == expected
    assert all(piece for _, piece in played)
    times = dict.fromkeys(at for at, _ in chunks)
    assert [at for at, _ in played] == sorted(at for at, _ in played)
    assert {at for at, _ in played} <= set(times)
    assert joined(events(stored, include_usage=True)) == stream


def without_usage(*values):
    """The events of a chat stream as one gets them who did not ask for usage, by what their data is."""
    stream = sse(*values)
    played = events(entry("chat", stream, True), include_usage=False)
    kept = [data for _, data in events_of(joined(played))]
    written = [data for _, data in events_of(stream)]
    assert [data for data in written if data in kept] == kept, "nothing is changed"
    return [written.index(data) for data in kept]


def test_only_events_that_do_nothing_but_report_usage_are_left_out():
    text, end = chunk("x"), chunk(finish="stop")
    assert without_usage(text, end, counted(), "[DONE]") == [0, 1, 3]
    assert without_usage(text, end, "[DONE]") == [0, 1, 2]
    assert without_usage(text, chunk("y", "stop", usage=USAGE), "[DONE]") == [0, 1, 2]
    assert without_usage(text, end, counted(), counted(usage={"n": 1}), "[DONE]") == [0, 1, 4]
    assert without_usage(text, end, counted(), counted(usage=None, moderation=1), "[DONE]") == [0, 1, 3, 4]
    assert without_usage(chunk('the "usage" of'), end, {"usage": USAGE}, "[DONE]") == [0, 1, 3]
    assert without_usage(counted(usage=None), text, end, counted(), "[DONE]") == [0, 1, 2, 4]


def test_who_asks_for_usage_that_a_stream_does_not_report_is_not_served():
    for values, reported in (
        ([chunk("x", "stop"), "[DONE]"], False),
        ([chunk("x", usage=None), chunk(finish="stop", usage=None), "[DONE]"], False),
        ([chunk("x", "stop", usage=USAGE), "[DONE]"], True),
        ([chunk("x", "stop"), counted(), "[DONE]"], True),
        ([chunk("x", "stop"), counted(usage={}), "[DONE]"], False),
        ([chunk("x", "stop"), ": bye", "[DONE]"], False),
    ):
        for api in ("chat", "completions"):
            stored = entry(api, sse(*values), True)
            assert (events(stored, include_usage=True) is not None) is reported
            assert events(stored, include_usage=False) is not None
    for api in ("messages", "responses"):
        stored = entry(api, sse({"type": "x"}), True)
        assert joined(events(stored, include_usage=True)) == joined(events(stored, include_usage=False))


def test_answers_that_have_no_streams_have_none():
    for api in ("embeddings", "count_tokens", "other", "models"):
        stored = entry(api, b'{"data":[1],"usage":{}}')
        assert events(stored, include_usage=False) is None
    body = json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}).encode()
    assert events(entry("chat", body), include_usage=True) is None
    assert events(entry("chat", body), include_usage=False) is not None


@pytest.mark.parametrize("chunks", [((0, 5),), ((0, 99999),), ((0, 20), (1, 10), (2, 60)), ((0, -1),)])
def test_chunks_that_do_not_fit_their_body_are_no_answer(chunks):
    stream = sse(chunk("x", "stop"), "[DONE]")[:60]
    assert len(stream) == 60
    assert events(entry("chat", stream, chunks=chunks), include_usage=False) is None


@pytest.mark.parametrize("api", ["chat", "completions", "messages"])
@settings(max_examples=15)
@given(data=st.data(), include_usage=st.booleans())
def test_streams_made_of_json_are_events_the_sdks_types_take(api, data, include_usage):
    body = data.draw(BODIES[api])
    made = events(entry(api, json.dumps(body).encode()), include_usage=include_usage)
    assert all(at == 0 and data.endswith(b"\n\n") and data.count(b"\n\n") == 1 for at, data in made)
    found = events_of(joined(made))
    if api == "messages":
        assert [name.decode() for name, _ in found] == [json.loads(data)["type"] for _, data in found]
        known = ("thinking", "redacted_thinking", "tool_use")
        if all(block["type"] in known or block.get("citations") == [] for block in body["content"]):
            for _, data in found:
                EVENT.validate_json(data)
        return
    assert found.pop() == (b"message", b"[DONE]")
    values = [json.loads(data) for _, data in found]
    assert [value["choices"] == [] for value in values] == [False] * (len(values) - include_usage) + [
        True
    ] * include_usage
    assert all(("usage" in value) is include_usage for value in values)
    assert {(value["id"], value["created"], value["model"]) for value in values} == {
        (body["id"], body["created"], body["model"])
    }
    if api == "chat":
        for value in values:
            CHUNK.validate_python(value)
        for choice in body["choices"]:
            mine = [item for value in values for item in value["choices"] if item["index"] == choice["index"]]
            assert mine[0]["delta"]["role"] == "assistant"
            assert all(len(item["delta"]) == 1 for item in mine[1:-1]), "one field to a chunk"
            assert mine[-1]["delta"] == {}
            assert [item["finish_reason"] for item in mine] == [None] * (len(mine) - 1) + [choice["finish_reason"]]


RESPONSE_EVENT = TypeAdapter(ResponseStreamEvent)


def test_recorded_responses_made_into_streams_are_events_in_openais_order(recordings):
    kinds = set()
    for recording in recordings:
        if recording.status != 200 or recording.is_stream or api_of(recording) != "responses":
            continue
        made = events(entry("responses", recording.answer), include_usage=False)
        values = []
        for name, data in events_of(joined(made)):
            values.append(json.loads(data))
            assert name.decode() == values[-1]["type"]
            if "output_item" not in values[-1]["type"] and not values[-1].get("response"):
                RESPONSE_EVENT.validate_json(data)
        assert [value["sequence_number"] for value in values] == list(range(len(values)))
        assert [value["type"] for value in values[:2]] == ["response.created", "response.in_progress"]
        assert values[-1]["type"] == "response.completed"
        kinds |= {value["type"] for value in values}
        for number, item in enumerate(json.loads(recording.answer)["output"]):
            mine = [value for value in values if value.get("output_index") == number]
            assert mine[0]["type"] == "response.output_item.added"
            assert mine[-1]["type"] == "response.output_item.done"
            assert mine[-1]["item"] == item
            said = "".join(value["delta"] for value in mine if value["type"] == "response.output_text.delta")
            assert said == "".join(
                part.get("text") or "" for part in item.get("content") or () if item["type"] == "message"
            )
    assert len(kinds) > 25


def test_made_streams_have_the_kinds_of_events_that_recorded_ones_have(recordings):
    """For each recorded stream of a response: its answer made into a stream, kind by kind."""
    for recording in recordings:
        if recording.status == 200 and recording.is_stream and api_of(recording) == "responses":
            made = events(entry("responses", whole(entry("responses", recording.answer, True))), include_usage=False)
            optional = {"response.queued", "response.created", "response.in_progress"}
            had, has = (
                [json.loads(data)["type"] for _, data in events_of(stream)]
                for stream in (recording.answer, joined(made))
            )
            assert {kind for kind in had if "delta" not in kind} - optional <= set(has) | {"keepalive"}, recording.name


def test_white_space_of_a_body_does_not_end_its_event():
    body = json.dumps({"id": "r", "object": "response", "status": "completed", "output": [], "x": "\n"}, indent=1)
    stream = joined(events(entry("responses", f"\n{body}\r\n".encode()), include_usage=False))
    assert json.loads(events_of(stream)[-1][1])["response"] == json.loads(body)


def test_completions_are_read_by_the_sdk(recordings):
    choices = [{"text": "hello", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    body = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": choices, "usage": USAGE}
    made = joined(events(entry("completions", json.dumps(body).encode()), include_usage=True))
    chunks = shown("completions", made, True)
    assert "".join(choice["text"] for part in chunks for choice in part["choices"]) == "hello"
    assert chunks[-1]["usage"] == USAGE
    assert shown("completions", whole(entry("completions", made, True)), False)["choices"][0]["text"] == "hello"


def test_a_replay_reads_no_more_than_the_end_of_its_stream(monkeypatch):
    """Of a stream of 2 MB, only the event with the usage is decoded, and no copy is made but the chunks."""
    seen = []
    parse = replay._chunk
    monkeypatch.setattr(replay, "_chunk", lambda text: seen.append(len(text)) or parse(text))
    monkeypatch.setattr(replay, "read", None)
    one = sse(chunk("x" * 1000, usage=None))
    ended = chunk(finish="stop", usage=None)
    stream = one * 1700 + sse(ended, counted(), "[DONE]")
    chunks = tuple((0, end) for end in range(len(one), len(stream), len(one)))
    stored = entry("chat", stream, chunks=(*chunks, (9, len(stream))))
    tracemalloc.start()
    assert events(stored, include_usage=False) is not None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == [len(sse(counted()))]
    assert peak < 1.3 * len(stream)
    seen.clear()
    events(entry("messages", stream, True), include_usage=False)
    whole(entry("chat", b"{}"))
    assert seen == []


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_a_response_made_into_a_stream_ends_as_it_did(status):
    details = {"reason": "max_output_tokens"} if status == "incomplete" else None
    body = {"id": "r", "object": "response", "status": status, "incomplete_details": details, "output": []}
    made = events(entry("responses", json.dumps(body).encode()), include_usage=False)
    told = [json.loads(data) for _, data in events_of(joined(made))]
    assert [each["type"] for each in told] == ["response.created", "response.in_progress", f"response.{status}"]
    assert [each["response"]["incomplete_details"] for each in told] == [None, None, details]
