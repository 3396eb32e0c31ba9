"""Answers made of the SDKs' own types, each field and each member of each union once, and the streams they come as."""

from __future__ import annotations

import inspect
import itertools
import json
import typing
from typing import Any, get_args, get_origin

from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

__all__ = ["answers", "streamed"]

KINDS: dict[str, type[BaseModel]] = {"messages": Message, "chat": ChatCompletion, "responses": Response}
NAMES = ("id", "object", "type", "role", "created", "created_at", "model")
BASES: dict[str, dict[str, Any]] = {
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3,
        },
    },
    "chat": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": "hello", "refusal": None},
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        },
    },
    "responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "output": [
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "hello", "annotations": [], "logprobs": []}],
            }
        ],
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 13,
        },
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    },
}
LISTS = {"messages": "content", "responses": "output"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
SAID: tuple[dict[str, Any], ...] = (
    {"content": "x"},
    {"content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]},
    {"content": None, "refusal": "no"},
    {"content": "", "reasoning_content": "think"},
    {"content": "x", "reasoning": "think"},
    {"content": None},
    {"content": "t", "refusal": "r", "tool_calls": [{**CALL, "function": {"name": "look", "arguments": ""}}]},
)
FINISH = ("stop", "length", "tool_calls", "function_call", "content_filter", "of_tomorrow")


class Maker:
    def __init__(self) -> None:
        self._numbers = itertools.count(100)

    def of(self, kind: Any, name: str = "", within: tuple[Any, ...] = ()) -> list[Any]:
        """The values of a type; a type is not within itself."""
        origin = get_origin(kind)
        if origin is typing.Annotated:
            return self.of(get_args(kind)[0], name, within)
        if origin is typing.Union or type(kind).__name__ == "UnionType":
            return [each for part in get_args(kind) if part is not type(None) for each in self.of(part, name, within)]
        if origin is typing.Literal:
            return list(get_args(kind))
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            return [] if kind in within else self._objects(kind, (*within, kind))
        if origin is list:
            each = self.of(get_args(kind)[0], name, within)
            return [*([one] for one in each), *([each[:2]] if len(each) > 1 else []), []]
        if kind is bool:
            return [True, False]
        if kind is int:
            return [next(self._numbers) % 50]
        if kind is float:
            return [0.5]
        mark = f"mk{next(self._numbers)}x"
        if origin is dict or kind is dict:
            return [{"k": mark}]
        return [f'{{"q":"{mark}"}}' if name == "arguments" else f"https://e.test/{mark}" if name == "url" else mark]

    def _objects(self, kind: type[BaseModel], within: tuple[Any, ...]) -> list[dict[str, Any]]:
        base: dict[str, Any] = {}
        fields = {field.alias or name: field for name, field in kind.model_fields.items()}
        for name, field in fields.items():
            if not field.is_required():
                continue
            if type(None) in get_args(field.annotation):
                base[name] = None
            elif made := self.of(field.annotation, name, within):
                base[name] = made[0]
            else:
                return []
        every, whole = [base], dict(base)
        for name, field in fields.items():
            found = [each for each in self.of(field.annotation, name, within) if base.get(name) != each]
            every += [{**base, name: each} for each in found]
            if found and base.get(name) is None:
                whole[name] = found[0]
        return [*every, whole]


def answers(api: str) -> typing.Iterator[dict[str, Any]]:
    """Whole answers of an API, without those that tell of a failure."""
    maker, base = Maker(), BASES[api]
    for name, field in KINDS[api].model_fields.items():
        if name in NAMES:
            continue
        for value in maker.of(field.annotation, name):
            if name == LISTS.get(api):
                for made in (value, [*base[name], *value], [*value, *base[name]], [*value, *value]):
                    yield {**base, name: made}
            elif name != "choices" or value:
                yield {**base, name: value}
    if api == "messages":
        use = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}}
        for stop in ("end_turn", "tool_use", "max_tokens", "pause_turn", "refusal", "of_tomorrow"):
            for content in ([], [use], [*base["content"], use, use]):
                yield {**base, "stop_reason": stop, "content": content}
    if api == "chat":
        for finish in FINISH:
            for said in SAID:
                choice = {"index": 0, "finish_reason": finish, "logprobs": None}
                yield {**base, "choices": [{**choice, "message": {"role": "assistant", **said}}]}


def streamed(api: str, answer: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """The events by which the provider would send it, texts in pieces of three characters."""
    return [(str(each.get("type") or "message").encode(), json.dumps(each).encode()) for each in STREAMS[api](answer)]


def pieces(text: str | None) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)] if text else []


def messages_events(message: dict[str, Any]) -> list[dict[str, Any]]:
    begun = {**message, "content": [], "stop_reason": None, "stop_details": None}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]

    def delta(index: int, kind: str, **fields: Any) -> None:
        events.append({"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}})

    for index, block in enumerate(message["content"]):
        kind = block["type"]
        told = block
        if kind == "text":
            told = {**block, "text": "", "citations": [] if block.get("citations") else None}
        elif kind in ("tool_use", "server_tool_use"):
            told = {**block, "input": {}}
        elif kind == "thinking":
            told = {**block, "thinking": "", "signature": ""}
        events.append({"type": "content_block_start", "index": index, "content_block": told})
        if kind == "text":
            for piece in pieces(block["text"]):
                delta(index, "text_delta", text=piece)
            for citation in block.get("citations") or ():
                delta(index, "citations_delta", citation=citation)
        elif kind in ("tool_use", "server_tool_use") and block["input"]:
            for piece in ("", *pieces(json.dumps(block["input"], separators=(",", ":")))):
                delta(index, "input_json_delta", partial_json=piece)
        elif kind == "thinking":
            for piece in pieces(block["thinking"]):
                delta(index, "thinking_delta", thinking=piece)
            delta(index, "signature_delta", signature=block["signature"])
        events.append({"type": "content_block_stop", "index": index})
    ending = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    events.append({"type": "message_delta", "delta": ending, "usage": message["usage"]})
    return [*events, {"type": "message_stop"}]


def chat_events(completion: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"id": completion["id"], "object": "chat.completion.chunk", "created": 1, "model": completion["model"]}
    if completion.get("service_tier"):
        head["service_tier"] = completion["service_tier"]
    events: list[dict[str, Any]] = []

    def chunk(finish: str | None = None, **delta: Any) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        events.append({**head, "choices": [choice]})

    choice = completion["choices"][0]
    message = choice["message"]
    chunk(role="assistant", content="")
    for name in ("reasoning_content", "reasoning", "content"):
        for piece in pieces(message.get(name)):
            chunk(**{name: piece})
    if message.get("annotations"):
        chunk(annotations=message["annotations"])
    for piece in pieces(message.get("refusal")):
        chunk(refusal=piece)
    calls = message.get("tool_calls") or []
    if message.get("function_call") and not calls:
        chunk(function_call={**message["function_call"], "arguments": ""})
        for piece in pieces(message["function_call"]["arguments"]):
            chunk(function_call={"arguments": piece})
    for index, call in enumerate(calls):
        kind, text = call["type"], "arguments" if call["type"] == "function" else "input"
        chunk(tool_calls=[{"index": index, **call, kind: {**call[kind], text: ""}}])
    for turn in itertools.zip_longest(
        *(pieces(call[call["type"]]["arguments" if call["type"] == "function" else "input"]) for call in calls)
    ):
        for index, piece in enumerate(turn):  # the calls in turns
            kind = calls[index]["type"]
            if piece is not None:
                text = "arguments" if kind == "function" else "input"
                chunk(tool_calls=[{"index": index, kind: {text: piece}}])
    chunk(choice["finish_reason"])
    return [*events, {**head, "choices": [], "usage": completion.get("usage")}]


def responses_events(response: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []

    def add(kind: str, **more: Any) -> None:
        events.append({"type": kind, "sequence_number": len(events), **more})

    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    add("response.created", response=begun)
    add("response.in_progress", response=begun)
    for index, item in enumerate(response["output"]):
        at = {"output_index": index, "item_id": item.get("id")}
        empty = {name: type(value)() for name, value in item.items() if name in EMPTY and value is not None}
        add("response.output_item.added", output_index=index, item={**item, **empty, "status": "in_progress"})
        PARTS.get(item["type"], nothing)(item, at, add)
        add("response.output_item.done", output_index=index, item=item)
        add("keepalive")
    add(f"response.{response['status']}", response=response)
    return events


EMPTY = ("content", "summary", "arguments", "input")


def nothing(item: dict[str, Any], at: dict[str, Any], add: Any) -> None:
    """Items that come at once."""


def said_parts(item: dict[str, Any], at: dict[str, Any], add: Any) -> None:
    for place, part in enumerate(item["content"]):
        kind = part["type"]
        field = "text" if kind == "output_text" else "refusal"
        where = {**at, "content_index": place}
        add("response.content_part.added", **where, part={**part, field: ""})
        for piece in pieces(part[field]):
            add(f"response.{kind}.delta", **where, delta=piece)
        add(f"response.{kind}.done", **where, **{field: part[field]})
        for number, noted in enumerate(part.get("annotations") or ()):
            add("response.output_text.annotation.added", **where, annotation=noted, annotation_index=number)
        add("response.content_part.done", **where, part=part)


def thought_parts(item: dict[str, Any], at: dict[str, Any], add: Any) -> None:
    for place, part in enumerate(item.get("summary") or ()):
        where = {**at, "summary_index": place}
        add("response.reasoning_summary_part.added", **where, part={**part, "text": ""})
        for piece in pieces(part["text"]):
            add("response.reasoning_summary_text.delta", **where, delta=piece)
        add("response.reasoning_summary_text.done", **where, text=part["text"])
        add("response.reasoning_summary_part.done", **where, part=part)
    for place, part in enumerate(() if item.get("summary") else item.get("content") or ()):
        for piece in pieces(part["text"]):
            add("response.reasoning_text.delta", **at, content_index=place, delta=piece)


def call_parts(item: dict[str, Any], at: dict[str, Any], add: Any) -> None:
    name, field = {
        "function_call": ("function_call_arguments", "arguments"),
        "custom_tool_call": ("custom_tool_call_input", "input"),
    }[item["type"]]
    for piece in pieces(item[field]):
        add(f"response.{name}.delta", **at, delta=piece)
    add(f"response.{name}.done", **at, **{field: item[field]})


PARTS = {
    "message": said_parts,
    "reasoning": thought_parts,
    "function_call": call_parts,
    "custom_tool_call": call_parts,
}
STREAMS = {"messages": messages_events, "chat": chat_events, "responses": responses_events}
