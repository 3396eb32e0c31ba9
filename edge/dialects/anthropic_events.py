"""What of an event of Anthropic's streams is of use to who translates it."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Event", "Inner", "Message", "decode_event"]


class Inner(msgspec.Struct):
    """A delta, or a block's beginning, or a message's end: what of them is of use."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    citation: Any = None
    citations: list[Any] | None = None
    stop_reason: str | None = None
    stop_details: Any = None


class Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None


class Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    delta: Inner | None = None
    content_block: Inner | None = None
    message: Message | None = None


decode_event = msgspec.json.Decoder(Event).decode
