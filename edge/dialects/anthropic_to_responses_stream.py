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

import msgspec

from edge.dialects.anthropic import usage_of
from edge.dialects.anthropic_events import decode_event
from edge.dialects.anthropic_to_openai_answer import arguments_text, event_error, refusal
from edge.dialects.anthropic_to_responses_answer import cited, query_of, sealed, stopped
from edge.dialects.estimate import written_by_claude
from edge.dialects.responses_fields import renamed
from edge.dialects.responses_writer import ResponseWriter
from edge.dialects.stream import type_of
from edge.dialects.translation import Context, Reader, arguments_object, original_id
from edge.errors import UNREADABLE, EdgeError, UpstreamBadResponse, UpstreamStreamBroken
from edge.hooks import Usage

__all__ = ["StreamTranslator"]


class _Block(msgspec.Struct):
    """The open block: ``kind`` is its type, ``output`` that of the tool which stands for a structured output."""

    kind: str
    started: int = 0
    silent: bool = True
    input: Any = None
    citations: list[Any] = []
    pieces: list[str] = []
    signature: str = ""
    data: str = ""


class StreamTranslator(Reader):
    """One stream, whose response was made at `now` in unix seconds.

    `feed` takes events as the SSE decoder gives them, and `finish` the end of the body; both return what to send on.
    After an error, or the end, they return nothing more. Raises UpstreamBadResponse for an event that cannot be read.
    """

    __slots__ = (
        *("_block", "_calls", "_closed", "_context", "_held", "_output", "_stop", "_stop_details", "_writer"),
        *("_written", "usage"),
    )

    def __init__(self, context: Context, now: int) -> None:
        self._context = context
        self._writer = ResponseWriter(context, now, True)
        self._block: _Block | None = None
        self._calls = self._written = 0
        self._closed = self._output = False
        self._held: list[str] = []
        self._stop: str | None = None
        self._stop_details: Any = None
        self.usage: Usage | None = None

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes:
        for name, data in events:
            if self._closed:
                break
            if name == b"message":
                name = type_of(data)  # a compatible server that leaves the event's name out
            step = STEPS.get(name)
            if step is None:
                if name != b"ping":
                    self._context.warnings.add("event")
                continue
            try:
                step(self, data)
            except UNREADABLE:
                raise UpstreamBadResponse("The provider sent an event that cannot be read.") from None
        return self._writer.taken()

    def finish(self) -> bytes:
        """The body has ended: a stream without its last event was cut off, and its client has to know."""
        return b"" if self._closed else self.fail(UpstreamStreamBroken(), self._context.request_id)

    def fail(self, error: EdgeError, request_id: str) -> bytes:
        """An error of our own as the last thing one client is sent; others may go on."""
        return b"" if self._closed else self._writer.failure(error)

    def _message_start(self, data: bytes) -> None:
        message = decode_event(data).message
        if message is not None:
            self._writer.begin(message.id, message.model)
        self._count(data)

    def _block_start(self, data: bytes) -> None:
        start = decode_event(data).content_block
        if start is None:
            return
        block = self._block = _Block(start.type, input=start.input)
        kind = start.type
        if kind == "text":
            block.started = self._writer.position()
            block.citations = start.citations or []
            self._said(start.text)
        elif kind == "tool_use":
            if self._context.output_tool and start.name == self._context.output_tool:
                block.kind = "output"
                self._output = True
            else:
                self._calls += 1
                self._writer.call(original_id(start.id or ""), start.name or "")
        elif kind == "thinking":
            block.signature = start.signature or ""
            self._thought(block, start.thinking)
        elif kind == "redacted_thinking":
            block.data = start.data or ""
        elif kind == "server_tool_use":
            block.kind = start.name or ""

    def _block_delta(self, data: bytes) -> None:
        delta, block = decode_event(data).delta, self._block
        if delta is None:
            return
        kind = delta.type
        if kind == "text_delta":
            self._said(delta.text)
        elif block is None:
            return
        elif kind == "input_json_delta":
            self._arguments(block, delta.partial_json)
        elif kind == "thinking_delta":
            self._thought(block, delta.thinking)
        elif kind == "signature_delta":
            block.signature = delta.signature or block.signature
        elif kind == "citations_delta":
            block.citations.append(delta.citation)
        else:
            self._context.warnings.add("delta")

    def _block_stop(self, data: bytes) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        writer = self._writer
        if block.kind in ("tool_use", "output"):
            if block.silent:
                self._arguments(block, arguments_text(block.input, self._context))
        elif block.kind == "text":
            if block.citations and not self._context.output_tool:
                writer.annotate(cited(block.citations, block.started, writer.position()))
        elif block.kind == "web_search":
            writer.search(query_of(arguments_object("".join(block.pieces)) if block.pieces else block.input))
        elif block.kind == "thinking" and (block.pieces or block.signature):
            fields = {"type": "thinking", "thinking": "".join(block.pieces), "signature": block.signature}
            writer.end_thought(sealed(fields, self._context))
        elif block.kind == "redacted_thinking" and block.data:
            writer.end_thought(sealed({"type": block.kind, "data": block.data}, self._context))

    def _message_delta(self, data: bytes) -> None:
        delta = decode_event(data).delta
        if delta is not None and delta.stop_reason is not None:
            self._stop, self._stop_details = delta.stop_reason, delta.stop_details
        self._count(data)

    def _message_stop(self, data: bytes) -> None:
        context, writer = self._context, self._writer
        if self._held and not self._output:
            writer.text("".join(self._held))
        if self._stop == "refusal":
            writer.refusal(refusal(self._stop_details) or "")
        usage = context.counted(self.usage, lambda: written_by_claude(self._written, self._calls, context.model))
        writer.end(usage, stopped(self._stop, context, calls=self._calls > 0, output=self._output))
        self._closed = True

    def _error(self, data: bytes) -> None:
        error = event_error(data)
        param = error["param"]
        self._writer.fail(error["code"] or error["type"], error["message"], param and renamed(param))
        self._closed = True

    def _count(self, data: bytes) -> None:
        usage = usage_of(data)
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)

    def _said(self, text: str | None) -> None:
        if not text:
            return
        self._written += len(text)
        if self._context.output_tool:
            self._held.append(text)  # said beside a structured output: it is the answer only if no output comes
        else:
            self._writer.text(text)

    def _arguments(self, block: _Block, text: str | None) -> None:
        if not text:
            return
        block.silent = False
        self._written += len(text)
        if block.kind == "tool_use":
            self._writer.arguments(text)
        elif block.kind == "output":
            self._writer.text(text)
        else:
            block.pieces.append(text)

    def _thought(self, block: _Block, text: str | None) -> None:
        if text:
            block.pieces.append(text)
            self._writer.thought(text)


STEPS = {
    b"message_start": StreamTranslator._message_start,
    b"content_block_start": StreamTranslator._block_start,
    b"content_block_delta": StreamTranslator._block_delta,
    b"content_block_stop": StreamTranslator._block_stop,
    b"message_delta": StreamTranslator._message_delta,
    b"message_stop": StreamTranslator._message_stop,
    b"error": StreamTranslator._error,
}
