"""OpenAI's chunks as Anthropic's events, one by one.

Shapes: anthropic-sdk-python ``types/raw_message_stream_event.py``, https://platform.claude.com/docs/en/build-with-claude/
streaming. Each lane of `edge.dialects.openai_chunks` becomes a block; the stop reason waits for the counts:
``message_delta`` carries both.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge.dialects.anthropic import error_body
from edge.dialects.estimate import written_by_gpt
from edge.dialects.message import (
    UNSIGNED,
    delta_event,
    delta_usage,
    message,
    text_block,
    thinking_block,
    tool_use_block,
    whole_usage,
)
from edge.dialects.openai_chunks import CALL, TEXT, THOUGHT, Chunk, ChunkTranslator, Lane
from edge.dialects.openai_to_anthropic_answer import event_error, invented_id, stopped
from edge.dialects.translation import Context, anthropic_id, encode
from edge.errors import EdgeError
from edge.hooks import Usage

__all__ = ["StreamTranslator"]

_text = msgspec.json.Encoder().encode
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}}\n\n'
DELTAS = {
    TEXT: b'{"type":"text_delta","text":%b',
    THOUGHT: b'{"type":"thinking_delta","thinking":%b',
    CALL: b'{"type":"input_json_delta","partial_json":%b',
}
BETA_DELTAS = {**DELTAS, THOUGHT: b'{"type":"thinking_delta","estimated_tokens":null,"thinking":%b'}
STARTS = {
    TEXT: _text(text_block("")),
    THOUGHT: _text(thinking_block("")),
}
SIGNATURE = b'{"type":"signature_delta","signature":%b' % _text(UNSIGNED)
"""What ends a thought: clients wait for it, and put it where the block's signature is."""
START = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'


class StreamTranslator(ChunkTranslator):
    """One stream, whose message has the name `context.request_id` if the provider gives it none. `now` has no use
    here.
    """

    __slots__ = ("_deltas", "_index", "_out", "_refusal")

    def __init__(self, context: Context, now: int = 0) -> None:
        super().__init__(context)
        self._deltas = BETA_DELTAS if context.beta else DELTAS
        self._id = f"msg_{context.request_id}"
        self._refusal = ""
        self._index = -1
        self._out: list[bytes] = []

    def _taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _start(self, chunk: Chunk) -> None:
        context = self._context
        # Counts come at the end, and some clients read these alone: they get an estimate.
        begun = self.usage if self.usage is not None and self.usage.input > 0 else Usage(context.estimated_input(), 0)
        usage = whole_usage(context, begun)
        started = message(context, self._id, chunk.model or context.model, [], usage)
        data = encode({"type": "message_start", "message": started})
        self._out.append(b"event: message_start\ndata: " + data + b"\n\n")

    def _refused(self, text: str) -> None:
        self._refusal += text
        self._say(TEXT, text)

    def _cited(self, annotations: Any) -> None:
        """They stay behind: Anthropic's are of other things."""

    def _opened(self, lane: Lane) -> None:
        self._index += 1
        self._out.append(START % (self._index, STARTS.get(lane.kind) or self._tool_use(lane)))

    def _tool_use(self, lane: Lane) -> bytes:
        call_id = lane.id or invented_id(self._id, lane.number)
        name = self._context.tool_names.get(lane.name, lane.name)
        return encode(tool_use_block(anthropic_id(call_id), name, {}))

    def _send(self, lane: Lane, text: str) -> None:
        data = _text(text)
        self.pieces += 1
        self.size += len(data) - 2
        self._out.append(DELTA % (self._index, self._deltas[lane.kind] % data))

    def _ended(self, lane: Lane) -> None:
        if lane.kind == THOUGHT:
            self._out.append(DELTA % (self._index, SIGNATURE))
        self._out.append(STOP % self._index)

    def _end(self) -> None:
        context = self._context
        ending = stopped(self._finish, context, calls=self.calls > 0, refusal=self._refusal)
        usage = context.counted(self.usage, lambda: written_by_gpt(self.size, self.pieces, self.calls))
        event = encode(delta_event(context, ending, delta_usage(context, usage)))
        self._out.append(b"event: message_delta\ndata: " + event + b"\n\n")
        self._out.append(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')

    def _error(self, error: Any) -> None:
        self._out.append(b"event: error\ndata: " + event_error(error, self._context.request_id) + b"\n\n")

    def _failure(self, error: EdgeError, request_id: str) -> bytes:
        return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"
