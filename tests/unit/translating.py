"""What the tests of translation share: the SDKs' request types as a strict check, and clients that put streams together."""

from __future__ import annotations

import base64
import collections.abc
import json
import typing
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import typing_extensions
from anthropic.types import Message, RawMessageStreamEvent, message_create_params
from openai.types.chat import ChatCompletion, ChatCompletionChunk, completion_create_params
from pydantic import BaseModel, TypeAdapter

from edge._fast import SSEDecoder
from edge.dialects.translators import TRANSLATORS


def to_openai(body, model, **options):
    return TRANSLATORS["messages", "chat"].opens(model, **options).at_once(body)


def to_anthropic(body, model, **options):
    return TRANSLATORS["chat", "messages"].opens(model, **options).at_once(body)


NOW = 1_750_000_000
PAIRS = {"chat": ("chat", "messages"), "messages": ("messages", "chat")}
"""A client's API, and by which the provider of the other dialect is asked."""
SAMPLING = {"temperature", "top_p", "top_k"}
"""Part of Anthropic's API for the models that take them, though the SDK's second version has no argument for them."""
LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)
MESSAGE = TypeAdapter(Message)
COMPLETION = TypeAdapter(ChatCompletion)
CHUNK = TypeAdapter(ChatCompletionChunk)
EVENT = TypeAdapter(RawMessageStreamEvent)


@cache
def hints_of(kind: Any) -> dict[str, Any]:
    """The fields of one of the SDKs' types, whose annotations are strings, each of which Python would evaluate anew."""
    return get_type_hints(kind, include_extras=True)


def check(value: Any, kind: Any, at: str = "") -> list[str]:
    """What is wrong with `value` as one of an SDK's parameter types: unknown and missing keys, other types, other words."""
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return []
    if origin in (typing_extensions.Required, typing_extensions.NotRequired, typing.Annotated):
        return check(value, get_args(kind)[0], at)
    if origin is typing.Union or type(kind).__name__ == "UnionType":
        nearest: list[str] = []
        for part in get_args(kind):
            faults = check(value, part, at)
            if not faults:
                return []
            if not nearest or (-depth(faults), len(faults)) < (-depth(nearest), len(nearest)):
                nearest = faults
        return nearest
    if origin is typing.Literal:
        return [] if value in get_args(kind) else [f"{at}: {value!r} is none of {get_args(kind)}"]
    if typing_extensions.is_typeddict(kind):
        return check_keys(value, kind, at)
    if origin is dict or kind is dict:
        return [] if isinstance(value, dict) else [f"{at}: {value!r} is no object"]
    if origin in LISTS or "SequenceNotStr" in str(kind):
        if not isinstance(value, list):
            return [f"{at}: {value!r} is no list"]
        inner = (get_args(kind) or (Any,))[0]
        return [fault for number, item in enumerate(value) for fault in check(item, inner, f"{at}[{number}]")]
    if kind is float:
        return [] if isinstance(value, int | float) and not isinstance(value, bool) else [f"{at}: no number"]
    if kind is type(None):
        return [] if value is None else [f"{at}: not null"]
    if kind in (str, int, bool):
        return [] if type(value) is kind else [f"{at}: {value!r} is no {kind.__name__}"]
    return [f"{at}: {value!r} is no {kind}"]


def check_keys(value: Any, kind: Any, at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: {value!r} is no object"]
    hints = hints_of(kind)
    faults = [f"{at}.{key}: unknown" for key in value if key not in hints]
    for key, hint in hints.items():
        if key not in value and is_required(kind, key, hint):
            faults.append(f"{at}.{key}: missing")
    for key, item in value.items():
        if key in hints:
            faults += check(item, hints[key], f"{at}.{key}")
    return faults


def is_required(kind: Any, key: str, hint: Any) -> bool:
    """``__required_keys__`` does not see ``Required`` in annotations that are strings, as the SDKs' are."""
    origin = get_origin(hint)
    if origin in (typing_extensions.Required, typing_extensions.NotRequired):
        return origin is typing_extensions.Required
    return key in kind.__required_keys__


def depth(faults: list[str]) -> int:
    return max((fault.partition(":")[0].count(".") for fault in faults), default=0)


def check_messages_request(body: bytes) -> dict[str, Any]:
    """A request the anthropic SDK could have sent."""
    request = json.loads(body)
    plain = {key: value for key, value in request.items() if key not in SAMPLING}
    streams = request.get("stream") is True
    kinds = message_create_params
    kind = kinds.MessageCreateParamsStreaming if streams else kinds.MessageCreateParamsNonStreaming
    assert check(plain, kind) == []
    assert request["max_tokens"] >= 1
    return request


def check_chat_request(body: bytes) -> dict[str, Any]:
    """A request the openai SDK could have sent."""
    request = json.loads(body)
    streams = request.get("stream") is True
    kinds = completion_create_params
    kind = kinds.CompletionCreateParamsStreaming if streams else kinds.CompletionCreateParamsNonStreaming
    assert check(request, kind) == []
    return request


def events_of(stream: bytes) -> list[tuple[bytes, bytes]]:
    decoder = SSEDecoder()
    return decoder.feed(stream) + decoder.finish()


def sse(*data: Any) -> bytes:
    """Anthropic's events, or OpenAI's chunks, as a stream."""
    out = b""
    for item in data:
        if isinstance(item, dict):
            name = f"event: {item['type']}\n".encode() if "type" in item else b""
            out += name + b"data: " + json.dumps(item, ensure_ascii=False).encode() + b"\n\n"
        else:
            out += b"data: " + item.encode() + b"\n\n"
    return out


def run(translator: Any, stream: bytes) -> bytes:
    return translator.feed(events_of(stream)) + translator.finish()


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """The chunks of a complete chat stream, each of them one the SDK can read."""
    events = events_of(stream)
    assert events[-1] == (b"message", b"[DONE]")
    chunks = [json.loads(data) for _, data in events[:-1]]
    for chunk in chunks:
        CHUNK.validate_python(chunk)
    return chunks


def merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    """What openai-python's ``lib/streaming/_deltas.py`` does with deltas."""
    for key, value in delta.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and "index" in value[0]:
            listed = into.setdefault(key, [])
            for item in value:
                while len(listed) <= item["index"]:
                    listed.append({"index": len(listed)})
                merge(listed[item["index"]], item)
        elif isinstance(value, list):
            into[key] = into.get(key, []) + value
        elif isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        elif isinstance(value, str) and isinstance(into.get(key), str) and key not in ("type", "role"):
            into[key] += value
        elif key not in into or into[key] is None:
            into[key] = value


def completion_of(stream: bytes) -> dict[str, Any]:
    """A chat stream put together as the completion it would have been without a stream."""
    chunks = chunks_of(stream)
    message: dict[str, Any] = {}
    finish: dict[str, Any] = {}
    for chunk in chunks:
        assert (chunk["id"], chunk["created"], chunk["model"]) == tuple(
            chunks[0][key] for key in ("id", "created", "model")
        )
        for choice in chunk["choices"]:
            assert choice["index"] == 0
            assert not finish, "nothing comes after the finish reason"
            merge(message, choice["delta"])
            if choice["finish_reason"] is not None:
                finish = {key: value for key, value in choice.items() if key != "delta"}
    message["content"] = message.get("content") or None
    for item in (*message.get("tool_calls", ()), *message.get("thinking_blocks", ())):
        del item["index"]
    fields = {key: chunks[0][key] for key in ("id", "created", "model")}
    result = {**fields, "object": "chat.completion", "choices": [{**finish, "message": message}]}
    if chunks[-1].get("usage"):
        result["usage"] = chunks[-1]["usage"]
    tiers = [chunk["service_tier"] for chunk in chunks if chunk.get("service_tier")]
    return {**result, "service_tier": tiers[-1]} if tiers else result


def given(value: dict[str, Any]) -> dict[str, Any]:
    """An object without its nulls."""
    return {name: field for name, field in value.items() if field is not None}


def unset(model: Any, at: str = "") -> list[str]:
    """The fields of one of an SDK's models, and of those within it, that what it was made of did not have: what a client
    may read without asking for."""
    found = []
    if isinstance(model, BaseModel):
        found += [f"{at}.{name}" for name in type(model).model_fields if name not in model.model_fields_set]
        for name in model.model_fields_set & set(type(model).model_fields):
            found += unset(getattr(model, name), f"{at}.{name}")
    elif isinstance(model, list):
        found += [field for number, item in enumerate(model) for field in unset(item, f"{at}[{number}]")]
    return found


def message_of(stream: bytes, events: Any = EVENT, whole: Any = MESSAGE) -> dict[str, Any]:
    """A message stream put together as the anthropic SDK does, with every rule of its order checked. Its events, and
    the message, have every field that the SDK's types `events` and `whole` name.
    """
    message: dict[str, Any] = {}
    open_block: int | None = None
    done = False
    arguments = ""
    for name, data in events_of(stream):
        event = json.loads(data)
        assert unset(events.validate_python(event)) == []
        assert name.decode() == event["type"]
        assert not done
        kind = event["type"]
        if kind == "message_start":
            assert not message
            message = event["message"]
        elif kind == "content_block_start":
            assert open_block is None
            assert event["index"] == len(message["content"])
            open_block = event["index"]
            message["content"].append(event["content_block"])
            arguments = ""
        elif kind == "content_block_delta":
            assert event["index"] == open_block
            block, delta = message["content"][-1], event["delta"]
            if delta["type"] == "input_json_delta":
                arguments += delta["partial_json"]
                continue
            field = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}[delta["type"]]
            block[field] += delta[field]
        elif kind == "content_block_stop":
            assert event["index"] == open_block
            open_block = None
            if message["content"][-1]["type"] == "tool_use" and arguments:
                message["content"][-1]["input"] = json.loads(arguments)
        elif kind == "message_delta":
            assert open_block is None
            message.update(event["delta"])
            message["usage"].update(event["usage"])
        elif kind == "message_stop":
            done = True
    assert done
    assert unset(whole.validate_python(message)) == []
    return message


USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CUSTOM = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
PNG = base64.b64encode(b"\x89PNG").decode()
PDF = base64.b64encode(b"%PDF-1.4").decode()


def messages(model="claude-sonnet-4-5", strict=False, **fields):
    fields.setdefault("messages", [USER])
    result = to_anthropic(json.dumps({"model": "x", **fields}).encode(), model, strict=strict)
    return check_messages_request(result.body), result


def chat(model="gpt-4o", strict=False, **fields):
    fields = {"messages": [USER], "max_tokens": 100, **fields}
    result = to_openai(json.dumps({"model": "x", **fields}).encode(), model, strict=strict)
    return check_chat_request(result.body), result


def call(call_id, name="look", arguments="{}"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
