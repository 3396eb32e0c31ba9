"""Only complete, successful answers are kept."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge._fast import SSEDecoder
from edge.cache.storable import storable
from tests.unit.replaying import BODIES, api_of, streams
from tests.unit.translating import sse

FINISH = re.compile(rb'"finish_reason":\s*"')
BLANKS = (b"\n\n", b"\r\r", b"\r\n\r\n")
TERMINAL = {
    "chat": b"data: [DONE]",
    "completions": b"data: [DONE]",
    "messages": b'"message_stop"',
    "responses": b'"response.completed"',
}


def choice(reason="stop", index=0, **fields):
    return {"index": index, "message": {"role": "assistant", "content": "x"}, "finish_reason": reason, **fields}


def message(reason="end_turn", **fields):
    return {"type": "message", "content": [], "stop_reason": reason, **fields}


WHOLE = [
    ("chat", {"choices": [choice()]}, True),
    ("chat", {"choices": [choice("length")]}, True),
    ("chat", {"choices": [choice(), choice("tool_calls", 1)], "error": None}, True),
    ("chat", {"choices": []}, False),
    ("chat", {"choices": None}, False),
    ("chat", {"choices": [choice(None)]}, False),
    ("chat", {"choices": [choice("")]}, False),
    ("chat", {"choices": [choice(7)]}, False),
    ("chat", {"choices": [choice(), choice("content_filter", 1)]}, False),
    ("chat", {"choices": [choice("error")]}, False),
    ("chat", {"choices": [choice("abort")]}, False),
    ("chat", {"choices": [choice(error={"code": 502})]}, False),
    ("chat", {"choices": [choice()], "error": {"message": "no"}}, False),
    ("chat", {"error": {"message": "no"}}, False),
    ("chat", [], False),
    ("chat", "text", False),
    ("completions", {"choices": [{"text": "x", "finish_reason": "stop"}]}, True),
    ("completions", {"choices": [{"text": "x", "finish_reason": None}]}, False),
    ("messages", message(), True),
    ("messages", message("max_tokens"), True),
    ("messages", message(container=None), True),
    ("messages", message(container={"id": "container_1"}), False),
    ("messages", message(None), False),
    ("messages", message("refusal"), False),
    ("messages", message("pause_turn"), False),
    ("messages", message(type="error"), False),
    ("messages", {"type": "error", "error": {"type": "overloaded_error"}}, False),
    ("embeddings", {"data": [{"embedding": []}]}, True),
    ("embeddings", {"data": []}, False),
    ("embeddings", {"data": [1], "error": "x"}, False),
    ("count_tokens", {"input_tokens": 3}, True),
    ("count_tokens", {"input_tokens": 3, "estimated": True}, False),
    ("count_tokens", {"input_tokens": -3}, False),
    ("count_tokens", {}, False),
    ("responses", {"status": "completed", "output": [], "error": None}, True),
    ("responses", {"status": "incomplete", "output": []}, False),
    ("responses", {"status": "queued", "output": []}, False),
    ("responses", {"status": "completed", "output": [], "error": {"code": "x"}}, False),
    ("other", {"choices": [choice()]}, False),
    ("models", {"data": [1]}, False),
]


@pytest.mark.parametrize(("api", "body", "kept"), WHOLE)
def test_a_whole_answer_is_kept_if_everything_in_it_finished(api, body, kept):
    raw = json.dumps(body).encode()
    assert storable(api, raw, False) is kept
    assert not storable(api, raw[:-1], False)
    assert not storable(api, raw, True)


def test_a_choice_that_was_asked_for_and_never_came_is_missed():
    body = json.dumps({"choices": [choice(), choice(index=1)]}).encode()
    assert storable("chat", body, False, choices=2)
    assert not storable("chat", body, False, choices=3)
    stream = sse(delta("stop"), delta("stop", 1), "[DONE]")
    assert storable("chat", stream, True, choices=2)
    assert not storable("chat", stream, True, choices=3)


def delta(reason=None, index=0, **fields):
    return {"choices": [{"index": index, "delta": {}, "finish_reason": reason}], **fields}


START = {"type": "message_start", "message": {}}
STOP = {"type": "message_stop"}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
BLOCK_END = {"type": "content_block_stop", "index": 0}
COMPLETED = {"type": "response.completed", "response": {"status": "completed", "output": []}}


def end(reason):
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 1}}


STREAMS = [
    ("chat", [delta(), delta("stop"), "[DONE]"], True),
    ("chat", [delta("stop"), delta(), {"choices": [], "usage": {}}, "[DONE]"], True),
    ("chat", [delta(), delta("stop")], False),
    ("chat", [delta(), delta("stop", usage={"completion_tokens": 1})], True),
    ("chat", [delta(), delta("stop"), {"choices": [], "usage": {}}], True),
    ("chat", [delta()], False),
    ("responses", [{"type": "keepalive"}, {"type": "response.compaction.compacting"}, COMPLETED], True),
    ("chat", [delta(), delta(index=1), delta("stop"), "[DONE]"], False),
    ("chat", ["[DONE]"], False),
    ("chat", [delta("stop"), "[DONE]", delta()], False),
    ("chat", [delta("content_filter"), "[DONE]"], False),
    ("chat", [delta("stop"), {"error": {"message": "no"}}, "[DONE]"], False),
    ("chat", [delta("stop"), {"type": "error", "choices": []}, "[DONE]"], False),
    ("chat", [delta("stop"), "{", "[DONE]"], False),
    ("chat", [delta("stop"), '{"choices": 3}', "[DONE]"], False),
    ("completions", [delta("stop"), "[DONE]"], True),
    ("messages", [START, BLOCK, BLOCK_END, end("end_turn"), STOP], True),
    ("messages", [START, {"type": "ping"}, end("max_tokens"), STOP], True),
    ("messages", [START, BLOCK, BLOCK_END, end("end_turn")], False),
    ("messages", [START, BLOCK, end("end_turn"), STOP], False),
    ("messages", [BLOCK, BLOCK_END, end("end_turn"), STOP], False),
    ("messages", [{**START, "message": {"container": {"id": "c"}}}, end("end_turn"), STOP], False),
    (
        "messages",
        [START, {"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": {"id": "c"}}}, STOP],
        False,
    ),
    (
        "messages",
        [START, {"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": None}}, STOP],
        True,
    ),
    ("messages", [START, STOP], False),
    ("messages", [START, end("refusal"), STOP], False),
    ("messages", [START, end("pause_turn"), STOP], False),
    ("messages", [START, end("end_turn"), {"type": "error", "error": {}}, STOP], False),
    ("messages", [START, end("end_turn"), STOP, START], False),
    ("responses", [{"type": "response.created"}, COMPLETED], True),
    ("responses", [{"type": "response.created"}], False),
    ("responses", [{"type": "response.failed"}, COMPLETED], False),
    ("responses", [{"type": "error"}, COMPLETED], False),
    ("responses", [{**COMPLETED, "type": "response.incomplete"}], False),
    ("responses", [{"type": "response.completed", "response": {"status": "failed", "output": []}}], False),
    ("responses", [{"type": "response.completed"}], False),
    ("other", [delta("stop"), "[DONE]"], False),
    ("embeddings", [delta("stop"), "[DONE]"], False),
]


@pytest.mark.parametrize(("api", "events", "kept"), STREAMS)
def test_a_stream_is_kept_if_its_terminal_event_and_every_finish_came(api, events, kept):
    stream = sse(*events)
    assert storable(api, stream, True) is kept
    for changed in (stream.replace(b"\n", b"\r\n"), stream + b": bye\n", stream + b": bye\n\n", b": hi\n\n" + stream):
        assert storable(api, changed, True) is kept
    for unended in (stream[:-1], stream[:-2]):  # the blank line of the last event is missing
        assert storable(api, unended, True) is kept
    for changed in (stream[:-3], stream + b"data: {", stream + b"data", stream + b"event: x\n"):
        assert not storable(api, changed, True)


def check_cuts(api, stream):
    """No beginning of a stream is storable before the data of its terminal event is whole, or, where that is ``[DONE]``,
    which some leave out, before every choice has its end; what follows the terminal event are comments.
    """
    terminal = stream.rindex(TERMINAL[api])
    end = min(at for blank in BLANKS if (at := stream.find(blank, terminal)) >= 0)
    choices = 1
    if api in ("chat", "completions"):
        chunks = [json.loads(data) for _, data in SSEDecoder().feed(stream) if data != b"[DONE]"]
        choices = len({item.get("index", 0) for chunk in chunks for item in chunk.get("choices") or ()})
        start = max(found.end() for found in FINISH.finditer(stream))
    else:
        start = end
    places = sorted(cuts(stream))
    assert not [size for size in places if size < start and storable(api, stream[:size], True, choices)]
    assert all(storable(api, stream[:size], True, choices) for size in places if size >= end)
    return len(places)


def cuts(stream):
    """Every place near the end of a line, where what a stream says changes, and each seventh of the others."""
    ends = {found.start() + near for found in re.finditer(rb"[\r\n]", stream) for near in range(-2, 4)}
    return {place for place in ends | set(range(0, len(stream), 7)) if 0 <= place < len(stream)}


@pytest.mark.slow
def test_no_beginning_of_a_recorded_stream_is_storable(recordings, capsys):
    made = 0
    for recording in recordings:
        if recording.status == 200 and recording.is_stream:
            api = api_of(recording)
            assert storable(api, recording.answer, True), recording.name
            made += check_cuts(api, recording.answer)
    with capsys.disabled():
        print(f"\n0 of {made} cuts of recorded streams are storable")
    assert made > 50_000


@pytest.mark.slow
@pytest.mark.parametrize("api", ["chat", "completions", "messages"])
@settings(max_examples=20)
@given(data=st.data())
def test_no_beginning_of_a_generated_stream_is_storable(api, data):
    body, written = data.draw(streams(api))
    stream = b"".join(written)
    assert storable(api, stream, True, choices=len(body.get("choices", "1")))
    check_cuts(api, stream)


def test_recorded_answers_are_storable_if_they_are_complete(recordings):
    kept, refused = 0, set()
    for recording in recordings:
        if not recording.is_stream and recording.status == 200:
            if storable(api_of(recording), recording.answer, False):
                kept += 1
            else:
                answer = json.loads(recording.answer)
                refused.add("container" if answer.get("container") else answer.get("status"))
        if recording.status != 200:
            assert not storable(api_of(recording), recording.answer, False)
    assert kept > 360
    assert refused == {"queued", "complete", "container"}


@pytest.mark.parametrize("api", ["chat", "messages", "responses", "embeddings", "count_tokens"])
@settings(max_examples=50)
@given(body=st.binary(max_size=60), streamed=st.booleans())
def test_any_bytes_are_refused_without_an_error(api, body, streamed):
    assert not storable(api, body, streamed)
    assert not storable(api, b"data: " + body + b"\n\ndata: [DONE]\n\n", True)


def test_a_deep_or_endless_body_is_refused():
    assert not storable("chat", b'{"error":' + b"[" * 100_000 + b"]" * 100_000 + b"}", False)
    assert not storable("chat", b"data: " + b"x" * (17 << 20), True)


@pytest.mark.parametrize("api", ["chat", "completions", "messages"])
@settings(max_examples=20)
@given(data=st.data())
def test_generated_answers_are_storable(api, data):
    assert storable(api, json.dumps(data.draw(BODIES[api])).encode(), False)
