"""Responses: the response a stream ends with, and a response as a stream.

Event names, fields and order from openai-python's ``types/responses/*_event.py`` and its
``lib/streaming/responses/_responses.py``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge.cache.deltas import Unclear, dictionary, event, listing, parse
from edge.dialects.stream import type_of
from edge.errors import UNREADABLE

__all__ = ["response_events", "whole_response"]

INPUTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "code_interpreter_call": ("code", "response.code_interpreter_call_code"),
}
"""Items with a text that comes in deltas: its field, and its events without ``.delta`` and ``.done``."""
BEFORE = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "mcp_list_tools": ("in_progress", "completed"),
    "mcp_call": ("in_progress",),
    "code_interpreter_call": ("in_progress",),
}
AFTER = {
    "mcp_call": ("completed",),
    "code_interpreter_call": ("interpreting", "completed"),
}
"""What is said of an item's progress, before and after that text."""
PARTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
"""Parts of a message or of reasoning: their text, and its events."""

COMPLETED = b"response.completed"
ENDINGS = {"incomplete": b"response.incomplete", "failed": b"response.failed"}
"""By the ``status`` of a response, the event with which its stream ends, where it is another."""


class _Response(msgspec.Struct):
    output: list[msgspec.Raw]


class _Completed(msgspec.Struct):
    response: msgspec.Raw


_decode_completed = msgspec.json.Decoder(_Completed).decode
_decode_response = msgspec.json.Decoder(_Response).decode


def whole_response(events: list[tuple[bytes, bytes]]) -> bytes:
    """The response of ``response.completed``, byte for byte.

    Raises Unclear, also where that leaves out the items which came before it: some servers do.
    """
    items = False
    for name, data in events:
        kind = name if name != b"message" else type_of(data)
        if kind == b"response.output_item.done":
            items = True
        elif kind == b"response.completed":
            try:
                response = bytes(_decode_completed(data).response)
                output = _decode_response(response).output
            except UNREADABLE:
                break
            if items and not output:
                raise Unclear("a response without its items")
            return response
    raise Unclear("no complete response")


class _Events:
    """Numbers the events of a stream as they are made."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.place: dict[str, Any] = {}

    def add(self, kind: str, **fields: Any) -> None:
        self.out.append(event({"type": kind, **self.place, **fields, "sequence_number": len(self.out)}, kind))


def response_events(body: bytes) -> list[bytes]:
    """A response as a stream: its start, each item with its parts and texts in one delta each, its end.

    Raises Unclear.
    """
    response = parse(body)
    items = listing(response.get("output"))
    ending = ENDINGS.get(str(response.get("status")), COMPLETED)
    begun = response | {"status": "in_progress", "output": []}
    begun |= {key: None for key in ("usage", "completed_at", "incomplete_details", "error") if key in response}
    events = _Events()
    events.add("response.created", response=begun)
    events.add("response.in_progress", response=begun)
    for number, item in enumerate(items):
        events.place = {"output_index": number}
        _item(events, dictionary(item))
    events.place = {}
    sequence = b',"sequence_number":%d}' % len(events.out)
    # The body itself, not what it was read as: numbers, keys and all.
    whole = b'{"type":"%b","response":' % ending + body.strip() + sequence
    if b"\n" in whole or b"\r" in whole:
        whole = whole.replace(b"\r", b" ").replace(b"\n", b" ")  # white space: within strings they are escaped
    events.out.append(b"event: %b\ndata: " % ending + whole + b"\n\n")
    return events.out


def _item(events: _Events, item: dict[str, Any]) -> None:
    kind = item.get("type")
    place = events.place
    given = {"item_id": item.get("id") or item.get("call_id") or ""}
    begun = dict(item)
    field, series = INPUTS.get(str(kind), ("", ""))
    text = item.get(field)
    if isinstance(text, str):
        begun[field] = ""
    for key in ("content", "summary"):
        if isinstance(item.get(key), list) and kind in ("message", "reasoning"):
            begun[key] = []
    if "status" in item:
        begun["status"] = "in_progress"
    events.add("response.output_item.added", item=begun)
    events.place = place | given
    for phase in BEFORE.get(str(kind), ()):
        events.add(f"response.{kind}.{phase}")
    if isinstance(text, str):
        if text:
            events.add(f"{series}.delta", delta=text)
        events.add(f"{series}.done", **{field: text})
    for phase in AFTER.get(str(kind), ()):
        failed = kind == "mcp_call" and item.get("error") is not None
        events.add(f"response.{kind}.{'failed' if failed else phase}")
    if kind == "reasoning":
        for number, part in enumerate(listing(item.get("summary") or [])):
            _summary(events, dictionary(part), number)
    if kind in ("message", "reasoning"):
        for number, part in enumerate(listing(item.get("content") or [])):
            _part(events, dictionary(part), number)
    events.place = place
    events.add("response.output_item.done", item=item)


def _summary(events: _Events, part: dict[str, Any], number: int) -> None:
    outer = events.place
    events.place = outer | {"summary_index": number}
    text = str(part.get("text") or "")
    events.add("response.reasoning_summary_part.added", part=part | {"text": ""})
    if text:
        events.add("response.reasoning_summary_text.delta", delta=text)
    events.add("response.reasoning_summary_text.done", text=text)
    events.add("response.reasoning_summary_part.done", part=part)
    events.place = outer


def _part(events: _Events, part: dict[str, Any], number: int) -> None:
    outer = events.place
    events.place = outer | {"content_index": number}
    field, series = PARTS.get(str(part.get("type")), ("", ""))
    text = part.get(field)
    notes = listing(part.get("annotations") or [])
    scores = {"logprobs": part.get("logprobs") or []} if series == "response.output_text" else {}
    begun = part | {key: [] for key in ("annotations", "logprobs") if part.get(key)}
    if isinstance(text, str):
        begun[field] = ""
    events.add("response.content_part.added", part=begun)
    if isinstance(text, str):
        if text:
            events.add(f"{series}.delta", delta=text, **scores)
        for place, note in enumerate(notes):
            events.add("response.output_text.annotation.added", annotation_index=place, annotation=note)
        events.add(f"{series}.done", **{field: text}, **scores)
    events.add("response.content_part.done", part=part)
    events.place = outer
