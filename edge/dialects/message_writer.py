"""The events of a message of Anthropic's that are made of another API's stream.

Shapes: anthropic-sdk-python ``types/raw_message_stream_event.py``, https://platform.claude.com/docs/en/build-with-claude/
streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge.dialects.anthropic import error_body
from edge.dialects.message import delta_event, delta_usage, message, text_block, thinking_block, whole_usage
from edge.dialects.translation import Context, encode
from edge.errors import EdgeError
from edge.hooks import Usage

__all__ = ["CALL", "STARTS", "TEXT", "THOUGHT", "MessageWriter"]

TEXT, THOUGHT, CALL = "text", "thinking", "tool_use"
"""Kinds of blocks."""
_text = msgspec.json.Encoder().encode
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}}\n\n'
DELTAS = {
    TEXT: b'{"type":"text_delta","text":%b',
    THOUGHT: b'{"type":"thinking_delta","thinking":%b',
    CALL: b'{"type":"input_json_delta","partial_json":%b',
}
BETA_DELTAS = {**DELTAS, THOUGHT: b'{"type":"thinking_delta","estimated_tokens":null,"thinking":%b'}
STARTS = {TEXT: _text(text_block("")), THOUGHT: _text(thinking_block(""))}
"""A block that has said nothing."""
SIGNATURE = b'{"type":"signature_delta","signature":%b'
START = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'


class MessageWriter:
    """Those of one message, of whose blocks one is open at a time. ``pieces`` and ``size`` are what has been sent."""

    __slots__ = ("_context", "_deltas", "_index", "_out", "pieces", "size")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._deltas = BETA_DELTAS if context.beta else DELTAS
        self._index = -1
        self._out: list[bytes] = []
        self.pieces = self.size = 0

    def taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def begin(self, given_id: str, model: str | None, usage: Usage | None = None, *, tier: str = "") -> None:
        """`usage` is what is counted already, `tier` the one that serves. Counts come at the end, and some clients read
        these alone: they get an estimate.
        """
        context = self._context
        begun = usage
        if begun is None or begun.input <= 0:
            begun = Usage(context.estimated_input(), 0, service_tier=tier)
        started = message(context, given_id, model or context.model, [], whole_usage(context, begun))
        data = encode({"type": "message_start", "message": started})
        self._out.append(b"event: message_start\ndata: " + data + b"\n\n")

    def open(self, start: bytes) -> None:
        """The next block, which begins so."""
        self._index += 1
        self._out.append(START % (self._index, start))

    def send(self, kind: str, text: str) -> None:
        data = _text(text)
        self.pieces += 1
        self.size += len(data) - 2
        self._out.append(DELTA % (self._index, self._deltas[kind] % data))

    def sign(self, signature: str) -> None:
        """What ends a thought: clients wait for it, and put it where the block's signature is."""
        self._out.append(DELTA % (self._index, SIGNATURE % _text(signature)))

    def close(self) -> None:
        self._out.append(STOP % self._index)

    def end(self, ending: dict[str, Any], usage: Usage) -> None:
        """`ending` is what `edge.dialects.message.delta` gives."""
        event = encode(delta_event(self._context, ending, delta_usage(self._context, usage)))
        self._out.append(b"event: message_delta\ndata: " + event + b"\n\n")
        self._out.append(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')

    def error(self, event: bytes) -> None:
        """The provider has broken off with an error, which this event tells."""
        self._out.append(b"event: error\ndata: " + event + b"\n\n")

    def failure(self, error: EdgeError, request_id: str) -> bytes:
        return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"
