"""OpenAI's chunks as Anthropic's events, one by one.

Shapes: anthropic-sdk-python ``types/raw_message_stream_event.py``, https://platform.claude.com/docs/en/build-with-claude/
streaming. Each lane of `edge.dialects.openai_chunks` becomes a block; the stop reason waits for the counts:
``message_delta`` carries both.
"""

from __future__ import annotations

from typing import Any

from edge.dialects.estimate import written_by_gpt
from edge.dialects.message import UNSIGNED, tool_use_block
from edge.dialects.message_writer import STARTS, MessageWriter
from edge.dialects.openai_chunks import TEXT, THOUGHT, Chunk, ChunkTranslator, Lane
from edge.dialects.openai_to_anthropic_answer import event_error, invented_id, stopped
from edge.dialects.translation import Context, anthropic_id, encode

__all__ = ["StreamTranslator"]


class StreamTranslator(ChunkTranslator):
    """One stream, whose message has the name `context.request_id` if the provider gives it none. `now` has no use
    here.
    """

    __slots__ = ("_refusal",)
    _writer: MessageWriter

    def __init__(self, context: Context, now: int = 0) -> None:
        super().__init__(context, MessageWriter(context))
        self._id = f"msg_{context.request_id}"
        self._refusal = ""

    def _start(self, chunk: Chunk) -> None:
        self._writer.begin(self._id, chunk.model, self.usage, tier=chunk.service_tier or "")

    def _refused(self, text: str) -> None:
        self._refusal += text
        self._say(TEXT, text)

    def _cited(self, annotations: Any) -> None:
        """They stay behind: Anthropic's are of other things."""

    def _opened(self, lane: Lane) -> None:
        self._writer.open(STARTS.get(lane.kind) or self._tool_use(lane))

    def _tool_use(self, lane: Lane) -> bytes:
        call_id = lane.id or invented_id(self._id, lane.number)
        name = self._context.tool_names.get(lane.name, lane.name)
        return encode(tool_use_block(anthropic_id(call_id), name, {}))

    def _send(self, lane: Lane, text: str) -> None:
        self._writer.send(lane.kind, text)

    def _ended(self, lane: Lane) -> None:
        if lane.kind == THOUGHT:
            self._writer.sign(UNSIGNED)
        self._writer.close()

    def _end(self) -> None:
        context, writer = self._context, self._writer
        ending = stopped(self._finish, context, calls=self._calls > 0, refusal=self._refusal)
        writer.end(ending, context.counted(self.usage, lambda: written_by_gpt(writer.size, writer.pieces, self._calls)))

    def _error(self, error: Any) -> None:
        self._writer.error(event_error(error, self._context.request_id))
