"""A response whose text breaks off is continued by another upstream: its items, its events and its end."""

from __future__ import annotations

import json

import pytest

from edge.errors import UpstreamStreamBroken
from tests.unit.test_rescue import ASKED, REST, WORDS, ask, broken, event, events_of, made, messages, responses
from tests.unit.timed import EVENTS, JSON, told

__all__ = ["made"]


def broken_response(worker, stream, **fields):
    lane = ask(worker, "responses", **fields)
    cut = stream.index(b"\n\n", stream.index(b"there was")) + 2
    worker.run(worker.sent("a").answers, 200, EVENTS, stream[:cut], ends=False)
    worker.run(worker.sent("a").receiver.failed, UpstreamStreamBroken())
    return lane


def test_a_thought_of_which_nothing_is_told_stays_before_the_text(made):
    worker = made("responses", "messages")
    lane = broken_response(worker, responses(WORDS, thinks=True), input="Tell me.")
    assert [turn["role"] for turn in json.loads(worker.sent("b").request.body)["messages"]] == ["user", "assistant"]
    worker.run(worker.sent("b").answers, 200, EVENTS, messages(REST, "other"))
    datas = [data for _, data in events_of(told(lane))[0]]
    last = datas[-1]["response"]
    assert [item["type"] for item in last["output"]] == ["reasoning", "message"]
    assert {data["output_index"] for data in datas if data["type"] == "response.output_text.delta"} == {1}
    assert (last["id"], last["metadata"], last["usage"]["estimated"]) == ("resp_1", {"a": "b"}, True)
    assert last["usage"]["output_tokens"] == worker.records[-1].usage.output > 5


@pytest.mark.parametrize(
    ("stop", "told_reason"), [("end_turn", None), ("max_tokens", "max_output_tokens"), ("refusal", "content_filter")]
)
def test_a_response_that_is_continued_ends_as_the_other_one_did(made, stop, told_reason):
    worker = made("responses", "messages")
    lane = broken(worker, "responses", max_output_tokens=1000)
    assert json.loads(worker.sent("b").request.body)["max_tokens"] < 1000
    worker.run(worker.sent("b").answers, 200, EVENTS, messages(REST, "other", stop))
    last = events_of(told(lane))[0][-1][1]["response"]
    assert (last["incomplete_details"] or {}).get("reason") == told_reason
    assert last["status"] == ("incomplete" if told_reason else "completed")


@pytest.mark.parametrize("breaks", ["before its first content", "with an error", "inside its text"])
def test_a_response_that_cannot_be_continued_fails_with_events_in_order(made, breaks):
    worker = made("responses", "messages")
    lane = broken(worker, "responses")
    if breaks == "before its first content":
        worker.run(worker.sent("b").answers, 500, JSON, b'{"error":{"message":"down"}}')
    elif breaks == "with an error":
        error = {"type": "overloaded_error", "message": "busy"}
        part = messages(REST, "other").partition(b"event: content_block_stop")[0]
        worker.run(worker.sent("b").answers, 200, EVENTS, part, event("error", error=error))
    else:
        part = messages(REST, "other").partition(b"event: content_block_stop")[0]
        worker.run(worker.sent("b").answers, 200, EVENTS, part, ends=False)
        worker.run(worker.sent("b").receiver.failed, UpstreamStreamBroken())
    worker.after(1)
    datas = [data for _, data in events_of(told(lane))[0]]
    assert [data["sequence_number"] for data in datas] == list(range(len(datas)))
    assert [data["type"] for data in datas[-2:]] == ["error", "response.failed"]
    assert datas[-1]["response"]["id"] == "resp_1"
    assert worker.idle()


@pytest.mark.parametrize(
    "fields",
    [
        {"store": True},
        {"tools": [{"type": "function", "name": "f", "parameters": {}}]},
        {"text": {"format": {"type": "json_object"}}},
        {"reasoning": {"effort": "high"}},
        {"include": ["message.output_text.logprobs"]},
        {"input": [*ASKED, {"role": "assistant", "content": "Once"}]},
        {"input": [*ASKED, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
        {"max_output_tokens": 3},
    ],
)
def test_what_is_no_plain_text_of_a_response_ends_in_the_error(made, fields):
    worker = made("responses", "messages")
    lane = broken(worker, "responses", **fields)
    assert worker.count("b") == 0
    assert b"upstream_stream_broken" in told(lane)
    assert worker.idle()


@pytest.mark.parametrize(
    "kind",
    ["response.refusal.delta", "response.output_text.annotation.added", "response.reasoning_summary_text.delta"],
)
def test_a_response_that_was_more_than_text_ends_in_the_error(made, kind):
    worker = made("responses", "messages")
    stream = responses(WORDS).replace(b"response.output_text.delta", kind.encode(), 2)
    lane = broken_response(worker, stream)
    assert worker.count("b") == 0
    assert b"upstream_stream_broken" in told(lane)


@pytest.mark.parametrize("other", ["messages", "responses"])
def test_what_comes_at_once_with_an_error_is_told_before_it(made, other):
    worker = made("responses", other)
    lane = broken(worker, "responses")
    if other == "messages":
        part = messages(REST, "other").partition(b"event: content_block_stop")[0]
        failure = event("error", error={"type": "overloaded_error", "message": "busy"})
    else:
        part = responses(REST, "other").replace(b'"store":false', b'"store":false,"error":null')
        part = part.partition(b"event: response.output_text.done")[0]
        error = {"code": "server_error", "message": "busy"}
        failure = event("response.failed", response={"id": "other", "status": "failed", "output": [], "error": error})
    worker.run(worker.sent("b").answers, 200, EVENTS, part + failure)
    worker.after(1)
    datas = [data for _, data in events_of(told(lane))[0]]
    deltas = [data["delta"] for data in datas if data["type"] == "response.output_text.delta"]
    assert "".join(deltas).endswith("It serves on.")
    assert [data["type"] for data in datas[-2:]] == ["error", "response.failed"]
    assert datas[-1]["response"]["error"]["message"] == "busy"
    assert worker.idle()
