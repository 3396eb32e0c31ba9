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

from edge.dialects.anthropic import usage_of
from edge.dialects.anthropic_events import Inner, decode_event
from edge.dialects.anthropic_to_openai_answer import (
    annotation,
    arguments_text,
    event_error,
    finish_reason,
    refusal,
)
from edge.dialects.chat_chunks import ChunkWriter
from edge.dialects.estimate import written_by_claude
from edge.dialects.openai import error_body
from edge.dialects.stream import type_of
from edge.dialects.translation import Context, encode, original_id
from edge.errors import UNREADABLE, EdgeError, UpstreamBadResponse, UpstreamStreamBroken
from edge.hooks import Usage

__all__ = ["StreamTranslator"]


_text = msgspec.json.Encoder().encode


THOUGHTS = ("thinking", "redacted_thinking")


class _Block(msgspec.Struct):
    """An open block: ``ordinal`` is its number among the calls, ``signature`` or ``data`` the proof of a thought."""

    kind: str
    ordinal: int = 0
    started: int = 0
    silent: bool = True
    input: Any = None
    citations: list[Any] = []
    thinking: list[str] = []
    signature: str = ""
    data: str = ""


class StreamTranslator:
    """One stream. `now` is the time of creation of all its chunks, in unix seconds.

    `feed` takes events as the SSE decoder gives them, and `finish` the end of the body; both return what to send on.
    After an error, or the end, they return nothing more. Raises UpstreamBadResponse for an event that cannot be read.
    """

    __slots__ = (
        *("_blocks", "_calls", "_chunk", "_chunks", "_closed", "_context", "_held", "_length", "_output"),
        *("_stop", "_stop_details", "_thoughts", "_written", "latest", "usage"),
    )

    def __init__(self, context: Context, now: int) -> None:
        self._context = context
        self._chunks = ChunkWriter(context, now)
        self._chunk = self._chunks.chunk
        self._blocks: dict[int, _Block] = {}
        self._calls = self._thoughts = self._length = self._written = 0
        self._closed = self._output = False
        self._held: list[str] = []
        self.latest = ""
        self._stop: str | None = None
        self._stop_details: Any = None
        self.usage: Usage | None = None

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes:
        out: list[bytes] = []
        for name, data in events:
            if self._closed:
                break
            self.latest = ""
            if name == b"message":
                name = type_of(data)  # a compatible server that leaves the event's name out
            step = STEPS.get(name)
            if step is None:
                if name != b"ping":
                    self._context.warnings.add("event")
                continue
            try:
                step(self, data, out)
            except UNREADABLE:
                raise UpstreamBadResponse("The provider sent an event that cannot be read.") from None
        return b"".join(out)

    def again(self, text: str) -> bytes:
        self.latest = text
        out: list[bytes] = []
        self._content(text, out)
        return b"".join(out)

    def finish(self) -> bytes:
        """The body has ended: a stream without its last event was cut off, and its client has to know."""
        return b"" if self._closed else self.fail(UpstreamStreamBroken(), self._context.request_id)

    def fail(self, error: EdgeError, request_id: str) -> bytes:
        """An error of our own as the last thing one client is sent; others may go on."""
        if self._closed:
            return b""
        return b"data: " + error_body(error) + b"\n\n"

    def _message_start(self, data: bytes, out: list[bytes]) -> None:
        message = decode_event(data).message
        if message is not None:
            self._chunks.named(message.id, message.model)
        self._count(data)

    def _block_start(self, data: bytes, out: list[bytes]) -> None:
        event = decode_event(data)
        start = event.content_block
        if start is None:
            return
        block = _Block(start.type, started=self._length)
        self._blocks[event.index] = block
        if start.type == "text":
            block.citations = start.citations or []
            self._content(start.text, out)
        elif start.type == "tool_use":
            if self._context.output_tool and start.name == self._context.output_tool:
                block.kind = "output"
                self._output = True
            else:
                block.ordinal = self._calls
                self._calls += 1
                self._call(block, start, out)
            block.input = start.input  # {}, except from a server that does not stream arguments
        elif start.type == "thinking":
            block.signature = start.signature or ""
            self._thought(block, start.thinking, out)
        elif start.type == "redacted_thinking":
            block.data = start.data or ""

    def _block_delta(self, data: bytes, out: list[bytes]) -> None:
        event = decode_event(data)
        delta = event.delta
        if delta is None:
            return
        kind = delta.type
        if kind == "text_delta":
            self._content(delta.text, out)
            if not self._context.output_tool:
                self.latest = delta.text or ""
            return
        block = self._blocks.get(event.index)
        if block is None:
            return
        if kind == "input_json_delta":
            if block.kind in ("tool_use", "output"):
                self._arguments(block, delta.partial_json, out)
        elif kind == "thinking_delta":
            self._thought(block, delta.thinking, out)
        elif kind == "signature_delta":
            block.signature = delta.signature or block.signature
        elif kind == "citations_delta":
            block.citations.append(delta.citation)
        else:
            self._context.warnings.add("delta")

    def _block_stop(self, data: bytes, out: list[bytes]) -> None:
        block = self._blocks.pop(decode_event(data).index, None)
        if block is None:
            return
        if block.silent and block.kind in ("tool_use", "output"):
            self._arguments(block, arguments_text(block.input, self._context), out)
        if block.kind in THOUGHTS:
            self._whole_thought(block, out)
        if block.citations and not self._context.output_tool:
            found = [annotation(citation, block.started, self._length) for citation in block.citations]
            if annotations := [item for item in found if item is not None]:
                self._chunk(b'{"annotations":' + _text(annotations) + b"}", out)

    def _message_delta(self, data: bytes, out: list[bytes]) -> None:
        delta = decode_event(data).delta
        if delta is not None and delta.stop_reason is not None:
            self._stop, self._stop_details = delta.stop_reason, delta.stop_details
        self._count(data)

    def _message_stop(self, data: bytes, out: list[bytes]) -> None:
        for block in self._blocks.values():
            if block.kind in THOUGHTS:
                self._whole_thought(block, out)
        if self._held and not self._output:
            self._chunk(b'{"content":' + _text("".join(self._held)) + b"}", out)
        if self._stop == "refusal" and (explanation := refusal(self._stop_details)) is not None:
            self._chunk(b'{"refusal":' + _text(explanation) + b"}", out)
        context = self._context
        finish = finish_reason(self._stop, context, calls=self._calls > 0, output=self._output)
        self._chunks.end(finish, self._used, out, "pause_turn" if self._stop == "pause_turn" else "")
        self._closed = True

    def _used(self) -> Usage:
        context = self._context
        return context.counted(self.usage, lambda: written_by_claude(self._written, self._calls, context.model))

    def _error(self, data: bytes, out: list[bytes]) -> None:
        out.append(b"data: " + encode({"error": event_error(data)}) + b"\n\n")
        self._closed = True

    def _count(self, data: bytes) -> None:
        usage = usage_of(data)
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)

    def _content(self, text: str | None, out: list[bytes]) -> None:
        if not text:
            return
        self._length += len(text)
        self._written += len(text)
        if self._context.output_tool:
            self._held.append(text)  # said beside a structured output: it is the content only if no output comes
            return
        self._chunk(b'{"content":' + _text(text) + b"}", out)

    def _call(self, block: _Block, start: Inner, out: list[bytes]) -> None:
        name = start.name or ""
        function = {"name": self._context.tool_names.get(name, name), "arguments": ""}
        if not self._context.legacy_functions:
            call = {"index": block.ordinal, "id": original_id(start.id or ""), "type": "function", "function": function}
            self._chunk(b'{"tool_calls":[' + _text(call) + b"]}", out)
        elif block.ordinal == 0:
            self._chunk(b'{"function_call":' + _text(function) + b"}", out)

    def _arguments(self, block: _Block, text: str | None, out: list[bytes]) -> None:
        if not text:
            return
        block.silent = False
        self._written += len(text)
        arguments = _text(text)
        if block.kind == "output":
            self._chunk(b'{"content":' + arguments + b"}", out)
        elif not self._context.legacy_functions:
            call = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (block.ordinal, arguments)
            self._chunk(call, out)
        elif block.ordinal == 0:
            self._chunk(b'{"function_call":{"arguments":' + arguments + b"}}", out)

    def _thought(self, block: _Block, text: str | None, out: list[bytes]) -> None:
        if not text:
            return
        block.thinking.append(text)
        self._chunk(b'{"reasoning_content":' + _text(text) + b"}", out)

    def _whole_thought(self, block: _Block, out: list[bytes]) -> None:
        """A block of thinking, once, with its signature: it is to come back as it was, so nobody has to put it
        together. ``index`` is what the SDK tells the entries of a list apart by.
        """
        fields: dict[str, Any] = {"index": self._thoughts, "type": block.kind}
        if block.kind == "redacted_thinking":
            fields["data"] = block.data
        else:
            fields |= {"thinking": "".join(block.thinking), "signature": block.signature}
        if block.data or block.thinking or block.signature:
            self._thoughts += 1
            self._chunk(b'{"thinking_blocks":' + _text([fields]) + b"}", out)


STEPS = {
    b"message_start": StreamTranslator._message_start,
    b"content_block_start": StreamTranslator._block_start,
    b"content_block_delta": StreamTranslator._block_delta,
    b"content_block_stop": StreamTranslator._block_stop,
    b"message_delta": StreamTranslator._message_delta,
    b"message_stop": StreamTranslator._message_stop,
    b"error": StreamTranslator._error,
}
