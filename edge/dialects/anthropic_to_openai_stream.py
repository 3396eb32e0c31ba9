"""Anthropic's events as OpenAI's chunks, one by one.

Shapes: anthropic-sdk-python ``types/raw_message_stream_event.py``, openai-python
``types/chat/chat_completion_chunk.py``.

    event                 chunk
    message_start         none: its first content brings the role
    content_block_start   tool_use: id and name, under the number of the call
    content_block_delta   text: content; input_json: arguments; thinking: reasoning_content; signature, citations: held
    content_block_stop    a call that had no arguments: "{}"; a text's citations: annotations; a whole thinking_block
    message_delta         none: its stop reason and its counts, which are totals and never added
    message_stop          finish_reason, then usage if asked for, then [DONE]
    error                 an error, and nothing after it: no [DONE]
    ping, anything else   none
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge.dialects.anthropic_events import Inner, Message
from edge.dialects.anthropic_reader import AnthropicReader, Block
from edge.dialects.anthropic_to_openai_answer import annotation, finish_reason, refusal
from edge.dialects.chat_chunks import ChunkWriter
from edge.dialects.translation import Context, original_id

__all__ = ["StreamTranslator"]
_json = msgspec.json.Encoder().encode
THOUGHTS = ("thinking", "redacted_thinking")


class StreamTranslator(AnthropicReader):
    """One stream. `now` is the time of creation of all its chunks, in unix seconds."""

    __slots__ = ("_chunk", "_length", "_thoughts")
    _writer: ChunkWriter

    def __init__(self, context: Context, now: int) -> None:
        super().__init__(context, ChunkWriter(context, now))
        self._chunk = self._writer.chunk
        self._length = self._thoughts = 0

    def again(self, text: str) -> bytes:
        self._more_text(text)
        return self._writer.taken()

    def _begin(self, message: Message) -> None:
        self._writer.named(message.id, message.model)

    def _position(self) -> int:
        return self._length

    def _more_text(self, text: str | None) -> None:
        self._said(text)
        if not self._context.output_tool:
            self.latest = text or ""

    def _text(self, text: str) -> None:
        self._length += len(text)
        self._chunk(b'{"content":' + _json(text) + b"}")

    def _call(self, block: Block, start: Inner) -> None:
        name = start.name or ""
        function = {"name": self._context.tool_names.get(name, name), "arguments": ""}
        if not self._context.legacy_functions:
            call = {"index": block.ordinal, "id": original_id(start.id or ""), "type": "function", "function": function}
            self._chunk(b'{"tool_calls":[' + _json(call) + b"]}")
        elif block.ordinal == 0:
            self._chunk(b'{"function_call":' + _json(function) + b"}")

    def _argue(self, block: Block, text: str) -> None:
        arguments = _json(text)
        if block.kind == "output":
            self._chunk(b'{"content":' + arguments + b"}")
        elif not self._context.legacy_functions:
            self._chunk(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (block.ordinal, arguments))
        elif block.ordinal == 0:
            self._chunk(b'{"function_call":{"arguments":' + arguments + b"}}")

    def _think(self, text: str) -> None:
        self._chunk(b'{"reasoning_content":' + _json(text) + b"}")

    def _whole(self, block: Block) -> None:
        if block.kind in THOUGHTS:
            self._whole_thought(block)
        if block.citations and not self._context.output_tool:
            found = [annotation(citation, block.started, self._length) for citation in block.citations]
            if annotations := [item for item in found if item is not None]:
                self._chunk(b'{"annotations":' + _json(annotations) + b"}")

    def _whole_thought(self, block: Block) -> None:
        """A block of thinking, once, with its signature: it is to come back as it was, so nobody has to put it
        together. ``index`` is what the SDK tells the entries of a list apart by.
        """
        fields: dict[str, Any] = {"index": self._thoughts, "type": block.kind}
        if block.kind == "redacted_thinking":
            fields["data"] = block.data
        else:
            fields |= {"thinking": "".join(block.pieces), "signature": block.signature}
        if block.data or block.pieces or block.signature:
            self._thoughts += 1
            self._chunk(b'{"thinking_blocks":' + _json([fields]) + b"}")

    def _end(self) -> None:
        for block in self._blocks.values():
            if block.kind in THOUGHTS:
                self._whole_thought(block)
        if self._stop == "refusal" and (explanation := refusal(self._stop_details)) is not None:
            self._chunk(b'{"refusal":' + _json(explanation) + b"}")
        finish = finish_reason(self._stop, self._context, calls=self._calls > 0, output=self._output)
        self._writer.end(finish, self._used, "pause_turn" if self._stop == "pause_turn" else "")

    def _broken(self, error: dict[str, Any]) -> None:
        self._writer.error(error)
