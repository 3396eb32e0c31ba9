"""Anthropic's events as those of OpenAI's Responses, one by one.

Shapes: anthropic-sdk-python ``types/raw_message_stream_event.py``, openai-python 3.57
``types/responses/response_stream_event.py``.

    event                 what is written
    message_start         response.created, response.in_progress
    content_block_start   a call begins; nothing yet for a text or a thought
    content_block_delta   text, arguments, thought; signature, citations, a query: held
    content_block_stop    a whole thought with its envelope, a whole call, citations, a search
    message_delta         none: its stop reason and its counts, which are totals and never added
    message_stop          response.completed or response.incomplete
    error                 an error and response.failed, and nothing after them
    ping, anything else   none
"""

from __future__ import annotations

from typing import Any

from edge.dialects.anthropic_events import Inner, Message
from edge.dialects.anthropic_reader import AnthropicReader, Block
from edge.dialects.anthropic_to_openai_answer import refusal
from edge.dialects.anthropic_to_responses_answer import cited, query_of, sealed, stopped
from edge.dialects.responses_fields import renamed
from edge.dialects.responses_writer import ResponseWriter
from edge.dialects.translation import Context, arguments_object, original_id

__all__ = ["StreamTranslator"]


class StreamTranslator(AnthropicReader):
    """One stream, whose response was made at `now` in unix seconds."""

    __slots__ = ()
    _writer: ResponseWriter

    def __init__(self, context: Context, now: int) -> None:
        super().__init__(context, ResponseWriter(context, now, True))

    def _begin(self, message: Message) -> None:
        self._writer.begin(message.id, message.model)

    def _position(self) -> int:
        return self._writer.position()

    def _text(self, text: str) -> None:
        self._writer.text(text)

    def _call(self, block: Block, start: Inner) -> None:
        self._writer.call(original_id(start.id or ""), start.name or "")

    def _argue(self, block: Block, text: str) -> None:
        if block.kind == "output":
            self._writer.text(text)
        else:
            self._writer.arguments(text)

    def _think(self, text: str) -> None:
        self._writer.thought(text)

    def _whole(self, block: Block) -> None:
        writer = self._writer
        if block.kind == "text":
            if block.citations and not self._context.output_tool:
                writer.annotate(cited(block.citations, block.started, writer.position()))
        elif block.kind == "web_search":
            writer.search(query_of(arguments_object("".join(block.pieces)) if block.pieces else block.input))
        elif block.kind == "thinking" and (block.pieces or block.signature):
            fields = {"type": "thinking", "thinking": "".join(block.pieces), "signature": block.signature}
            writer.end_thought(sealed(fields, self._context))
        elif block.kind == "redacted_thinking" and block.data:
            writer.end_thought(sealed({"type": block.kind, "data": block.data}, self._context))

    def _end(self) -> None:
        if self._stop == "refusal":
            self._writer.refusal(refusal(self._stop_details) or "")
        ending = stopped(self._stop, self._context, calls=self._calls > 0, output=self._output)
        self._writer.end(self._used(), ending)

    def _broken(self, error: dict[str, Any]) -> None:
        param = error["param"]
        self._writer.fail(error["code"] or error["type"], error["message"], param and renamed(param))
