"""Messages: a stream as the message it stands for, and a message as a stream.

Shapes from anthropic-sdk-python: ``types/message.py``, ``types/raw_message_stream_event.py`` and their beta forms; what
an event does to a message from its ``lib/streaming/_messages.py`` and ``_beta_messages.py``, ``accumulate_event``.
"""

from __future__ import annotations

from typing import Any

from edge.cache.deltas import Unclear, dictionary, event, listing, parse
from edge.dialects.translation import encode

__all__ = ["message_events", "whole_message"]

GROWS = {"text_delta": "text", "thinking_delta": "thinking"}
"""Deltas whose texts are concatenated, and the field of the delta and of the block they are in."""
REPLACES = {
    "signature_delta": ("signature",),
    "compaction_delta": ("content", "encrypted_content"),
}
"""Deltas that give a field of their block its value."""
LATE = ("stop_reason", "stop_sequence", "stop_details", "container")
"""Fields that are null at the start of a message, and come in the ``delta`` of its ``message_delta``."""
LATE_BESIDE = ("context_management", "input_transformations")
"""The same, but beside the ``delta``."""
LATE_COUNTS = (
    *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"),
    *("output_tokens_details", "server_tool_use", "iterations", "fallback_credit", "estimated"),
)
"""What ``message_delta`` says of usage: ``types/beta/beta_message_delta_usage.py``, and our mark of an estimate."""


class Block:
    """A content block that is still coming."""

    __slots__ = ("arguments", "pieces", "value")

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value
        self.pieces: dict[str, list[str]] = {}
        self.arguments: list[str] | None = None

    def add(self, delta: dict[str, Any]) -> None:
        """Raises Unclear for a delta of an unknown kind: what it does to its block cannot be known."""
        kind = delta.get("type")
        if kind in GROWS:
            field = GROWS[kind]
            if field not in self.pieces:
                self.pieces[field] = [_text(self.value.get(field) or "")]
            self.pieces[field].append(_text(delta.get(field)))
        elif kind == "input_json_delta":
            if self.arguments is None:
                self.arguments = []
            self.arguments.append(_text(delta.get("partial_json")))
        elif kind == "citations_delta":
            self.value["citations"] = listing(self.value.get("citations") or [])
            self.value["citations"].append(delta.get("citation"))
        elif kind in REPLACES:
            for field in REPLACES[kind]:
                if field in delta:
                    self.value[field] = delta[field]
        else:
            raise Unclear("a delta of an unknown kind")

    def finish(self) -> dict[str, Any]:
        """The block. Raises Unclear where the input of a tool is not whole."""
        for field, pieces in self.pieces.items():
            self.value[field] = "".join(pieces)
        arguments = "".join(self.arguments or ())
        if arguments:
            self.value["input"] = parse(arguments.encode("utf-8", "surrogatepass"))
        return self.value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unclear("a text that is none")
    return value


def whole_message(events: list[tuple[bytes, bytes]]) -> bytes:
    """The message that a stream is the pieces of. Raises Unclear."""
    message: dict[str, Any] = {}
    blocks: dict[int, Block] = {}
    done = False
    for name, data in events:
        value = parse(data)
        kind = value.get("type") or name.decode("utf-8", "replace")
        if kind == "ping":
            continue
        if done or bool(message) is (kind == "message_start"):
            raise Unclear("events out of order")
        if kind == "message_start":
            message = dictionary(value.get("message"))
            given = [Block(dictionary(block)) for block in listing(message.get("content") or [])]
            blocks = dict(enumerate(given))
            dictionary(message.get("usage"))
        elif kind == "content_block_start":
            index = value.get("index")
            if type(index) is not int or index != len(blocks):
                raise Unclear("a block out of order")
            blocks[index] = Block(dictionary(value.get("content_block")))
        elif kind == "content_block_delta":
            index = value.get("index")
            block = blocks.get(index) if type(index) is int else None
            if block is None:
                raise Unclear("a delta of no block")
            block.add(dictionary(value.get("delta")))
        elif kind == "message_delta":
            _end(message, value)
        elif kind == "message_stop":
            done = True
        elif kind != "content_block_stop":
            raise Unclear("an event of an unknown kind")
    if not done or not isinstance(message.get("stop_reason"), str):
        raise Unclear("a message that did not end")
    message["content"] = [block.finish() for block in blocks.values()]
    return encode(message)


def _end(message: dict[str, Any], value: dict[str, Any]) -> None:
    """Take a ``message_delta``. Its counts are totals; what it leaves out or gives as null stays as it was."""
    usage = dictionary(message["usage"])
    beside = {key: item for key, item in value.items() if key not in ("type", "delta", "usage")}
    for into, new in (
        (message, dictionary(value.get("delta") or {}) | beside),
        (usage, dictionary(value.get("usage") or {})),
    ):
        for key, item in new.items():
            if item is not None or key not in into:
                into[key] = item


def message_events(body: bytes) -> list[bytes]:
    """A message as a stream: its start, each block as a start, one delta of each kind and a stop, its end.

    Raises Unclear.
    """
    message = parse(body)
    blocks = listing(message.pop("content", None))
    usage = dictionary(message.get("usage"))
    output = usage.get("output_tokens")
    if type(output) is not int or not isinstance(message.get("stop_reason"), str):
        raise Unclear("a message that did not end")
    ends = {key: message[key] for key in LATE if key in message}
    beside = {key: message[key] for key in LATE_BESIDE if key in message}
    start = message | dict.fromkeys((*ends, *beside)) | {"content": [], "usage": usage | {"output_tokens": 1}}
    counts = {key: usage[key] for key in LATE_COUNTS if key in usage}
    out = [_event("message_start", message=start)]
    for index, block in enumerate(blocks):
        begin, deltas = _split(dictionary(block))
        out.append(_event("content_block_start", index=index, content_block=begin))
        out += [_event("content_block_delta", index=index, delta=delta) for delta in deltas]
        out.append(_event("content_block_stop", index=index))
    out.append(_event("message_delta", delta=ends, **beside, usage=counts))
    out.append(_event("message_stop"))
    return out


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)


def _split(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it starts, and the deltas that complete it. What has no delta of its own is whole in the start."""
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        cited = block.get("citations") or []
        begin = block | {"text": ""} | ({"citations": []} if cited else {})
        deltas = [{"type": "citations_delta", "citation": citation} for citation in listing(cited)]
        said = [{"type": "text_delta", "text": block["text"]}] if block["text"] else []
        return begin, deltas + said
    if kind == "thinking" and isinstance(block.get("thinking"), str):
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}] if block["thinking"] else []
        if isinstance(block.get("signature"), str):  # an empty one ends the thought as well
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return block | {field: "" for field in ("thinking", "signature") if field in block}, deltas
    if isinstance(kind, str) and kind.endswith("tool_use") and isinstance(block.get("input"), dict):
        text = encode(block["input"]).decode() if block["input"] else ""
        return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    return block, []
