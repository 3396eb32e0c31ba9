"""How Anthropic's streams are read for clients of other APIs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import msgspec

from edge.dialects.anthropic import usage_of
from edge.dialects.anthropic_events import Inner, Message, decode_event
from edge.dialects.anthropic_to_openai_answer import arguments_text, event_error
from edge.dialects.estimate import written_by_claude
from edge.dialects.stream_reader import EventReader, Writer
from edge.dialects.translation import Context
from edge.hooks import Usage

__all__ = ["AnthropicReader", "Block"]

CALLS = ("tool_use", "output")


class Block(msgspec.Struct):
    """An open block. ``kind`` is its type, ``output`` for the tool that stands for a structured output, a server tool's
    name for its use; ``started`` is where in the text it began, ``ordinal`` its number among the calls. ``pieces`` are
    those of a thought, or of what a server tool is asked; ``signature`` or ``data`` is the proof of a thought.
    """

    kind: str
    started: int
    input: Any
    ordinal: int = 0
    silent: bool = True
    citations: list[Any] = []
    pieces: list[str] = []
    signature: str = ""
    data: str = ""


class AnthropicReader(EventReader):
    """``_held`` is what is said beside a structured output: it is the answer only if no output comes."""

    __slots__ = ("_blocks", "_calls", "_held", "_output", "_stop", "_stop_details", "_written")
    STEPS: ClassVar = {
        b"message_start": "_message_start",
        b"content_block_start": "_block_start",
        b"content_block_delta": "_block_delta",
        b"content_block_stop": "_block_stop",
        b"message_delta": "_message_delta",
        b"message_stop": "_message_stop",
        b"error": "_error",
    }

    def __init__(self, context: Context, writer: Writer) -> None:
        super().__init__(context, writer)
        self._blocks: dict[int, Block] = {}
        self._calls = self._written = 0
        self._output = False
        self._held: list[str] = []
        self._stop: str | None = None
        self._stop_details: Any = None

    # What is made of it.

    @abstractmethod
    def _begin(self, message: Message) -> None: ...

    @abstractmethod
    def _position(self) -> int:
        """Characters of text that have gone out, of what a block of text is a part of."""

    @abstractmethod
    def _text(self, text: str) -> None: ...

    @abstractmethod
    def _call(self, block: Block, start: Inner) -> None:
        """A call has begun."""

    @abstractmethod
    def _argue(self, block: Block, text: str) -> None:
        """More of the arguments of a call."""

    @abstractmethod
    def _think(self, text: str) -> None: ...

    @abstractmethod
    def _whole(self, block: Block) -> None:
        """A block is whole, and its arguments have gone out."""

    @abstractmethod
    def _end(self) -> None:
        """The message is whole, and all its text has gone out."""

    @abstractmethod
    def _broken(self, error: dict[str, Any]) -> None:
        """The provider has broken off with an error, which is of OpenAI's form here."""

    # How it is read.

    def _says_nothing(self, name: bytes, data: bytes) -> bool:
        return name == b"ping"

    def _message_start(self, data: bytes) -> None:
        message = decode_event(data).message
        if message is not None:
            self._begin(message)
        self._count(usage_of(data))

    def _block_start(self, data: bytes) -> None:
        event = decode_event(data)
        start = event.content_block
        if start is None:
            return
        # The input is {}, except from a server that does not stream arguments.
        block = self._blocks[event.index] = Block(start.type, self._position(), start.input)
        kind = start.type
        if kind == "text":
            block.citations = start.citations or []
            self._said(start.text)
        elif kind == "tool_use":
            if self._context.output_tool and start.name == self._context.output_tool:
                block.kind = "output"
                self._output = True
            else:
                block.ordinal = self._calls
                self._calls += 1
                self._call(block, start)
        elif kind == "thinking":
            block.signature = start.signature or ""
            self._thought(block, start.thinking)
        elif kind == "redacted_thinking":
            block.data = start.data or ""
        elif kind == "server_tool_use":
            block.kind = start.name or ""

    def _block_delta(self, data: bytes) -> None:
        event = decode_event(data)
        delta, block = event.delta, self._blocks.get(event.index)
        if delta is None:
            return
        kind = delta.type
        if kind == "text_delta":
            self._more_text(delta.text)
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
        block = self._blocks.pop(decode_event(data).index, None)
        if block is None:
            return
        if block.silent and block.kind in CALLS:
            self._arguments(block, arguments_text(block.input, self._context))
        self._whole(block)

    def _message_delta(self, data: bytes) -> None:
        delta = decode_event(data).delta
        if delta is not None and delta.stop_reason is not None:
            self._stop, self._stop_details = delta.stop_reason, delta.stop_details
        self._count(usage_of(data))

    def _message_stop(self, data: bytes) -> None:
        if self._held and not self._output:
            self._text("".join(self._held))
        self._end()
        self._closed = True

    def _error(self, data: bytes) -> None:
        self._broken(event_error(data))
        self._closed = True

    def _used(self) -> Usage:
        context = self._context
        return context.counted(self.usage, lambda: written_by_claude(self._written, self._calls, context.model))

    def _more_text(self, text: str | None) -> None:
        self._said(text)

    def _said(self, text: str | None) -> None:
        if not text:
            return
        self._written += len(text)
        if self._context.output_tool:
            self._held.append(text)
        else:
            self._text(text)

    def _arguments(self, block: Block, text: str | None) -> None:
        if not text:
            return
        block.silent = False
        self._written += len(text)
        if block.kind in CALLS:
            self._argue(block, text)
        else:
            block.pieces.append(text)

    def _thought(self, block: Block, text: str | None) -> None:
        if text:
            block.pieces.append(text)
            self._think(text)
