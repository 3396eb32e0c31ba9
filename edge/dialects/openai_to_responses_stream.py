"""Chunks of chat completions as the events of OpenAI's Responses, one by one.

Shapes: openai-python 3.57, ``types/responses/response_stream_event.py``. Each lane of `edge.dialects.openai_chunks`
becomes an item, or a part of one; the counts come last, and the response ends with them.
"""

from __future__ import annotations

from typing import Any

from edge.dialects import openai
from edge.dialects.error_translation import to_openai
from edge.dialects.estimate import written_by_gpt
from edge.dialects.openai_chunks import CALL, TEXT, THOUGHT, Chunk, ChunkTranslator, Lane
from edge.dialects.openai_to_anthropic_answer import invented_id
from edge.dialects.openai_to_responses_answer import cited, stopped
from edge.dialects.responses_fields import renamed
from edge.dialects.responses_writer import ResponseWriter
from edge.dialects.translation import Context, error_message

__all__ = ["StreamTranslator"]


class StreamTranslator(ChunkTranslator):
    """One stream, whose response was made at `now` in unix seconds."""

    __slots__ = ("_pieces", "_size")
    _writer: ResponseWriter

    def __init__(self, context: Context, now: int) -> None:
        super().__init__(context, ResponseWriter(context, now, True))
        self._id = context.request_id
        self._pieces = self._size = 0

    def _start(self, chunk: Chunk) -> None:
        self._writer.begin(chunk.id, chunk.model)

    def _opened(self, lane: Lane) -> None:
        if lane.kind == CALL:
            self._writer.call(lane.id or invented_id(self._id, lane.number), lane.name)

    def _send(self, lane: Lane, text: str) -> None:
        self._pieces += 1
        self._size += len(text)
        kind = lane.kind
        if kind == TEXT:
            self._writer.text(text)
        elif kind == THOUGHT:
            self._writer.thought(text)
        elif kind == CALL:
            self._writer.arguments(text)
        else:
            self._writer.refusal(text)

    def _ended(self, lane: Lane) -> None:
        """The next begins what comes after it; the end tells whether the last was cut off."""

    def _cited(self, annotations: Any) -> None:
        self._writer.annotate(cited(annotations))

    def _end(self) -> None:
        context = self._context
        usage = context.counted(self.usage, lambda: written_by_gpt(self._size, self._pieces, self._calls))
        self._writer.end(usage, stopped(self._finish, context))

    def _error(self, error: Any) -> None:
        fields = error if isinstance(error, dict) else {"message": error}
        said = error_message(fields, "The provider broke off with an error.")
        _, told = to_openai(openai.status_of(fields), fields, said)
        code = fields.get("code")  # a number at some servers: the status
        code = code if isinstance(code, str) and code else told["code"] or told["type"]
        self._writer.fail(code, told["message"], told["param"] and renamed(told["param"]))
