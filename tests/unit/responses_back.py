"""What the tests of clients of Responses share: the SDK's types as a strict check, and a client that puts streams together."""

from __future__ import annotations

import json
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from edge.dialects import (
    anthropic_to_responses_answer,
    anthropic_to_responses_stream,
    openai_to_responses_answer,
    openai_to_responses_stream,
    responses_to_anthropic,
    responses_to_openai,
)
from edge.dialects.sealed import Seal
from edge.dialects.translation import Context
from tests.unit.translating import NOW, check_chat_request, check_messages_request, events_of, run

RESPONSE = TypeAdapter(Response)
EVENT = TypeAdapter(ResponseStreamEvent)
SEAL = Seal(b"the secret of a test")
REQUESTS = {"messages": responses_to_anthropic.Request, "chat": responses_to_openai.Request}
CHECKS = {"messages": check_messages_request, "chat": check_chat_request}
ANSWERS = {
    "messages": anthropic_to_responses_answer.translate_answer,
    "chat": openai_to_responses_answer.translate_answer,
}
STREAMS = {
    "messages": anthropic_to_responses_stream.StreamTranslator,
    "chat": openai_to_responses_stream.StreamTranslator,
}
ENDS = {
    "response.output_text.delta": ("response.output_text.done", "text"),
    "response.refusal.delta": ("response.refusal.done", "refusal"),
    "response.reasoning_summary_text.delta": ("response.reasoning_summary_text.done", "text"),
    "response.function_call_arguments.delta": ("response.function_call_arguments.done", "arguments"),
    "response.custom_tool_call_input.delta": ("response.custom_tool_call_input.done", "input"),
}
PLACES = ("output_index", "content_index", "summary_index")


def opened(api: str, model: str, *, strict: bool = False) -> Any:
    made = REQUESTS[api](model, strict=strict, request_id="req_1")
    made.context.seal = SEAL
    return made


def sent(api: str, model: str, *, strict: bool = False, **fields: Any) -> tuple[dict[str, Any], Any]:
    """What a Responses request becomes there, checked by the other SDK's types, and what was made with it."""
    fields.setdefault("input", "hi")
    made = opened(api, model, strict=strict)
    translated = made.at_once(json.dumps({"model": "x", **fields}).encode())
    return CHECKS[api](translated.body), translated


def context(**fields: Any) -> Context:
    return Context(
        **{
            "model": "claude",
            "request_id": "req_1",
            "seal": SEAL,
            "echo": {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
        }
        | fields
    )


def whole(api: str, answer: Any, given: Context | None = None) -> dict[str, Any]:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    response: dict[str, Any] = json.loads(ANSWERS[api](body, given or context(), NOW))
    RESPONSE.validate_python(response)
    return response


def streamed(api: str, stream: bytes, given: Context | None = None) -> dict[str, Any]:
    return response_of(run(STREAMS[api](given or context(), NOW), stream))


def response_of(stream: bytes) -> dict[str, Any]:
    """A stream put together as a client does that reads deltas, with every rule of its order checked; what the last
    event says has to be the same."""
    begun: dict[str, Any] = {}
    items: list[dict[str, Any]] = []
    texts: dict[tuple[Any, ...], str] = {}
    open_item = last = None
    for number, (name, data) in enumerate(events_of(stream)):
        event = json.loads(data)
        EVENT.validate_python(event)
        kind = event["type"]
        assert name.decode() == kind
        assert event["sequence_number"] == number
        assert last is None, "nothing comes after the end"
        if number < 2:
            assert kind == ("response.created", "response.in_progress")[number]
            assert event["response"]["status"] == "in_progress"
            assert event["response"]["output"] == []
            assert event["response"] == (begun or event["response"])
            begun = event["response"]
        elif kind == "response.output_item.added":
            assert open_item is None, "one item at a time"
            assert event["output_index"] == len(items)
            open_item = event["item"]
        elif kind == "response.output_item.done":
            assert open_item is not None
            assert event["item"]["id"] == open_item["id"]
            items.append(event["item"])
            open_item = None
        elif kind in ("response.completed", "response.incomplete"):
            assert open_item is None
            last = event["response"]
        else:
            assert open_item is not None
            assert event["item_id"] == open_item["id"]
            assert event["output_index"] == len(items)
            place = tuple(event.get(each) for each in PLACES)
            if kind in ENDS:
                done, field = ENDS[kind]
                texts[(done, *place)] = texts.get((done, *place), "") + event["delta"]
            elif kind in [done for done, _ in ENDS.values()]:
                field = next(field for done, field in ENDS.values() if done == kind)
                assert texts.pop((kind, *place)) == event[field]
    assert not texts
    assert last is not None
    assert last["output"] == items
    assert {name: last[name] for name in ("id", "model", "created_at")} == {
        name: begun[name] for name in ("id", "model", "created_at")
    }
    RESPONSE.validate_python(last)
    return last
