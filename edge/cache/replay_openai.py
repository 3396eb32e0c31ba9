"""Chat completions and completions: a stream as the whole answer it stands for, and a whole answer as a stream.

Shapes from openai-python: ``types/chat/chat_completion.py``, ``types/chat/chat_completion_chunk.py``,
``types/completion.py``. What these do not name is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from edge.cache.deltas import Unclear, dictionary, event, listing, merge, parse, settle
from edge.dialects.translation import encode

__all__ = ["chat_events", "completion_events", "whole_chat", "whole_completion"]

DONE = b"data: [DONE]\n\n"
HEAD = ("id", "object", "created", "model")
EVERYWHERE = (*HEAD, "service_tier", "system_fingerprint")
"""What every chunk repeats of its answer."""
NUMBERED = ("tool_calls", "thinking_blocks")
"""Lists of a message whose items have an ``index`` in streams, and none in whole answers."""
PADDING = "obfuscation"
"""Of chunks only, against guessing from their length: ``types/chat/chat_completion_stream_options_param.py``."""

Add = Callable[[dict[str, Any], dict[str, Any]], None]


def whole_chat(events: list[tuple[bytes, bytes]]) -> bytes:
    """The chat completion that a stream of chunks is the pieces of.

    A message has a role and a content, null if nothing was said, also where no delta had one. Raises Unclear, also
    where a choice did not finish or no usage was reported.
    """
    answer, choices = _fold(events, _add_delta)
    answer["object"] = "chat.completion"
    for choice in choices:
        message = choice["message"]
        role = message.pop("role", None) or "assistant"
        choice["message"] = {"role": role, "content": None} | message
        calls = message.get("tool_calls")
        if calls:
            if not all(isinstance(call, dict) and "index" in call for call in calls):
                raise Unclear("a tool call without an index")
            calls.sort(key=_index)
        for key in NUMBERED:
            for item in message.get(key) or ():
                if isinstance(item, dict):
                    item.pop("index", None)
    return encode(answer)


def whole_completion(events: list[tuple[bytes, bytes]]) -> bytes:
    """The completion that a stream of its chunks is the pieces of. Raises Unclear as `whole_chat`."""
    answer, choices = _fold(events, _add_text)
    for choice in choices:
        choice["text"] = choice["text"] or ""
    return encode(answer)


def _fold(events: list[tuple[bytes, bytes]], add: Add) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The answer, and its choices in their order."""
    answer: dict[str, Any] = dict.fromkeys((*HEAD, "choices", "usage"))
    choices: dict[int, dict[str, Any]] = {}
    latest: dict[str, Any] = {}
    for name, data in events:
        if data == b"[DONE]":
            break
        chunk = parse(data)
        if name == b"error" or chunk.get("error") is not None:
            raise Unclear("an error")
        for delta in listing(chunk.pop("choices", None) or []):
            index = dictionary(delta).pop("index", 0)
            if type(index) is not int or index < 0:
                raise Unclear("a choice without an index")
            choice = choices.setdefault(index, {"index": index})
            add(choice, delta)
            _add_rest(choice, delta)
        chunk.pop(PADDING, None)
        if chunk == latest:
            continue  # as most do: all but their choices is the same
        latest = chunk
        for key, value in chunk.items():
            # Some services begin with a chunk of their own, which has an empty id and no time.
            if key in HEAD and answer[key]:
                continue
            if value is not None or key not in answer:
                answer[key] = value
    found = sorted(choices.values(), key=_index)
    if not found or not all(isinstance(choice.get("finish_reason"), str) for choice in found):
        raise Unclear("a choice that did not finish")
    if not isinstance(answer["usage"], dict):
        raise Unclear("no usage")
    answer["choices"] = settle(found)
    for key in HEAD:
        if answer[key] is None:
            del answer[key]
    return answer, found


def _index(item: dict[str, Any]) -> int:
    index: int = item["index"]
    return index


def _add_delta(choice: dict[str, Any], delta: dict[str, Any]) -> None:
    if "message" in delta:
        raise Unclear("a whole message in a chunk")
    merge(choice.setdefault("message", {}), dictionary(delta.pop("delta", None) or {}))


def _add_text(choice: dict[str, Any], delta: dict[str, Any]) -> None:
    merge(choice, {"text": delta.pop("text", None)})


def _add_rest(choice: dict[str, Any], delta: dict[str, Any]) -> None:
    """What a choice has beside its content: log probabilities grow, of all else the latest counts."""
    if delta.get("logprobs") is not None:
        merge(choice, {"logprobs": delta.pop("logprobs")})
    for key, value in delta.items():
        if value is None:
            choice.setdefault(key, None)
            continue
        known = choice.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            known.update(value)
        else:
            choice[key] = value


def chat_events(body: bytes, *, include_usage: bool) -> list[bytes]:
    """A chat completion as a stream: for each choice its role, what it has to say, its end; the usage if asked for.

    Reasoning and other fields come before the content, one to a chunk: clients look at the first that they know.
    Raises Unclear.
    """
    return _stream(body, "chat.completion.chunk", _chat_choice, include_usage=include_usage)


def completion_events(body: bytes, *, include_usage: bool) -> list[bytes]:
    """A completion as a stream: for each choice its text, its end; the usage if asked for. Raises Unclear."""
    return _stream(body, "", _text_choice, include_usage=include_usage)


def _stream(
    body: bytes, kind: str, split: Callable[[dict[str, Any]], Iterator[dict[str, Any]]], *, include_usage: bool
) -> list[bytes]:
    answer = parse(body)
    choices = listing(answer.pop("choices", None))
    usage = answer.pop("usage", None)
    if not choices or (include_usage and not isinstance(usage, dict)):
        raise Unclear("no choices, or no usage")
    if kind:
        answer["object"] = kind
    head = {key: answer.pop(key) for key in EVERYWHERE if key in answer}
    asked = {"usage": None} if include_usage else {}
    out = []
    for number, choice in enumerate(choices):
        if not isinstance(dictionary(choice).get("finish_reason"), str):
            raise Unclear("a choice that did not finish")
        choice.setdefault("index", number)
        for delta in split(choice):
            out.append(event(head | answer | {"choices": [delta]} | asked))
            answer = {}  # what only the whole answer has comes once
    if include_usage:
        out.append(event(head | {"choices": [], "usage": usage}))
    out.append(DONE)
    return out


def _chat_choice(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    message = dictionary(choice.pop("message", None))
    index, reason = choice.pop("index"), choice.pop("finish_reason")
    scored = "logprobs" in choice
    logprobs = choice.pop("logprobs", None)

    def chunk(delta: dict[str, Any], scores: Any = None) -> dict[str, Any]:
        fields = {"index": index, "delta": delta}
        return fields | ({"logprobs": scores} if scored else {}) | {"finish_reason": None}

    opening = {"role": message.pop("role", None) or "assistant"}
    said = {key: value for key, value in message.items() if value}
    if not isinstance(said.get("content", ""), str):
        raise Unclear("content that is not a text")
    for key, value in message.items():
        if key not in said:
            opening[key] = value
        elif key == "content":
            opening[key] = ""
    yield chunk(opening)
    last = ("content", "refusal", "tool_calls", "function_call")
    for key in (*(key for key in said if key not in last), *(key for key in last if key in said)):
        value = said[key]
        if key in NUMBERED:
            value = [dictionary(call) | {"index": number} for number, call in enumerate(listing(value))]
        scores = None
        if key in ("content", "refusal"):
            scores, logprobs = logprobs, None
        yield chunk({key: value}, scores)
    yield chunk({}, logprobs) | choice | {"finish_reason": reason}


def _text_choice(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    text = choice.pop("text", None)
    fields = {"text": "", "index": choice.pop("index")}
    if text:
        scores = {"logprobs": choice["logprobs"]} if "logprobs" in choice else {}
        yield fields | scores | {"text": text, "finish_reason": None}
        if scores:
            choice["logprobs"] = None
    yield fields | choice
