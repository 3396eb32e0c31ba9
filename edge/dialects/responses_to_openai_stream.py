"""The events of OpenAI's Responses as its chunks, one by one.

Shapes: openai-python 3.57 ``types/responses/response_stream_event.py``, ``types/chat/chat_completion_chunk.py``.

    event                                   chunk
    response.created, in_progress           none: the first content brings the role
    output_item.added                       a call: id and name, under its number
    output_text.delta, refusal.delta        content, refusal
    reasoning_summary_text.delta            reasoning_content; a blank line between the parts of a summary
    function_call_arguments.delta           arguments
    output_text.annotation.added            annotations
    output_item.done                        what of the item has not been said
    response.completed, incomplete          finish_reason, then usage if asked for, then [DONE]
    response.failed, error                  an error, and nothing after it: no [DONE]
    anything else                           none

A whole thought is told in ``thinking_blocks`` once it is known what it led to: with the next item, or at the end.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from edge.dialects import openai
from edge.dialects.chat_chunks import ChunkWriter
from edge.dialects.estimate import written_by_gpt
from edge.dialects.responses import usage_of
from edge.dialects.responses_output import KNOWN, PARAGRAPH, text_in, thought_in
from edge.dialects.responses_reader import ResponsesReader, decode_delta, decode_part, decode_whole
from edge.dialects.responses_to_openai_answer import (
    annotation,
    call_of,
    finish_reason,
    renamed_error,
    thinking_block,
    tier_of,
)
from edge.dialects.translation import Context
from edge.hooks import Usage

__all__ = ["StreamTranslator"]

CALLS = ("function_call", "custom_tool_call")
KINDS = ("message", "reasoning", *CALLS)
"""Items of which something is told."""


_text = msgspec.json.Encoder().encode


class _Item:
    """What has come of an item: whether anything was ``said``, and where in the content its parts began."""

    __slots__ = ("field", "kind", "number", "part", "said", "starts", "whole")

    def __init__(self, kind: str, number: int = 0) -> None:
        self.kind = kind
        self.number = number
        self.field = "custom" if kind == "custom_tool_call" else "function"
        self.part = 0
        self.said = self.whole = False
        self.starts: dict[int, int] = {}


class StreamTranslator(ResponsesReader):
    """One stream. `now` is the time of creation of all its chunks, in unix seconds."""

    __slots__ = (
        *("_calls", "_chunk", "_items", "_length", "_pending"),
        *("_pieces", "_reasoned", "_size", "_thoughts"),
    )
    STEPS: ClassVar = {
        **ResponsesReader.STEPS,
        b"response.custom_tool_call_input.delta": "_more",
        b"response.output_text.annotation.added": "_annotated",
    }
    _writer: ChunkWriter

    def __init__(self, context: Context, now: int) -> None:
        super().__init__(context, ChunkWriter(context, now))
        self._chunk = self._writer.chunk
        self._items: dict[int, _Item] = {}
        self._calls = self._thoughts = self._length = self._pieces = self._size = 0
        self._reasoned = False
        self._pending: list[dict[str, Any]] = []

    # What comes.

    def _begin(self, data: bytes) -> None:
        if not self._writer.begun:
            response = decode_whole(data).response
            self._writer.named(response.get("id"), response.get("model"))

    def _added(self, data: bytes) -> None:
        part = decode_part(data)
        self._item(part.output_index, part.item)

    def _said(self, data: bytes) -> None:
        event = decode_delta(data)
        item = self._known(event.output_index, "message")
        item.starts.setdefault(event.content_index, self._length)
        self._content(item, event.delta)

    def _refused(self, data: bytes) -> None:
        event = decode_delta(data)
        self._refusal(self._known(event.output_index, "message"), event.delta)

    def _thought(self, data: bytes) -> None:
        event = decode_delta(data)
        self._think(
            self._known(event.output_index, "reasoning"), event.delta, event.summary_index or event.content_index
        )

    def _more(self, data: bytes) -> None:
        event = decode_delta(data)
        item = self._items.get(event.output_index)
        if item is not None and item.kind in CALLS:
            self._arguments(item, event.delta)

    def _annotated(self, data: bytes) -> None:
        event = decode_delta(data)
        item = self._items.get(event.output_index)
        noted = annotation(event.annotation, item.starts.get(event.content_index, 0) if item is not None else 0)
        if noted is not None:
            self._chunk(b'{"annotations":' + _text([noted]) + b"}")

    def _done(self, data: bytes) -> None:
        part = decode_part(data)
        item = self._items.get(part.output_index) or self._item(part.output_index, part.item)
        if item is not None:
            self._whole(item, part.item)

    def _end(self, data: bytes) -> None:
        response = decode_whole(data).response
        self._begin(data)
        output, silent = response.get("output"), not self._items
        for index, whole in enumerate(output if isinstance(output, list) else ()):
            item = self._items.get(index)
            if isinstance(whole, dict) and (item is not None or silent):
                item = item or self._item(index, whole)
                if item is not None:
                    self._whole(item, whole)
        self._tell_thoughts("")
        self._count(usage_of(data))
        finish = finish_reason(response, self._context, calls=self._calls > 0)
        self._writer.end(finish, self._used, tier=tier_of(response))
        self._closed = True

    def _used(self) -> Usage:
        return self._context.counted(self.usage, lambda: written_by_gpt(self._size, self._pieces, self._calls))

    def _broken(self, error: Any) -> None:
        error = renamed_error(error if isinstance(error, dict) else {"message": error})
        if error["type"] in (None, "error", "response.failed"):  # the event's own
            error["type"] = openai.error_type(openai.status_of(error))
        self._writer.error(error)

    # What goes.

    def _item(self, index: int, item: dict[str, Any]) -> _Item | None:
        """A new item; None for one of a kind that means nothing here."""
        kind = str(item.get("type"))
        if kind not in KINDS:
            if kind not in KNOWN:
                self._context.warnings.add("item")
            return None
        made = self._items[index] = _Item(kind, self._calls)
        if kind in CALLS:
            self._tell_thoughts(str(item.get("call_id") or ""))
            self._calls += 1
            self._call(made, item)
        elif kind == "message":
            self._tell_thoughts("")
        return made

    def _known(self, index: int, kind: str) -> _Item:
        """The item at `index`; a server may leave out that it begins."""
        item = self._items.get(index)
        if item is None:
            item = self._items[index] = _Item(kind)
        return item

    def _whole(self, item: _Item, whole: dict[str, Any]) -> None:
        """An item is whole; what of it has not come in pieces comes now."""
        if item.whole:
            return
        if not item.said:
            self._say(item, whole)
        item.whole = True
        if item.kind == "reasoning":
            self._pending.append(whole)

    def _say(self, item: _Item, whole: dict[str, Any]) -> None:
        if item.kind == "message":
            for place, part in enumerate(whole.get("content") or ()):
                start = item.starts[place] = self._length
                self._content(item, part.get("text") or "")
                noted = [annotation(each, start) for each in part.get("annotations") or ()]
                if noted := [each for each in noted if each is not None]:
                    self._chunk(b'{"annotations":' + _text(noted) + b"}")
            self._refusal(item, text_in(whole)[1])
        elif item.kind == "reasoning":
            self._think(item, thought_in(whole), 0)
        else:
            text = whole.get("input" if item.kind == "custom_tool_call" else "arguments")
            self._arguments(item, text if isinstance(text, str) else "")
            if not item.said and item.kind == "function_call":
                self._arguments(item, "{}")

    def _tell_thoughts(self, before: str) -> None:
        """Thoughts that are whole, and led to the call `before`, if to any. ``index`` is what the SDK tells the entries
        of a list apart by.
        """
        for item in self._pending:
            if block := thinking_block(item, self._context, before):
                self._chunk(b'{"thinking_blocks":' + _text([{"index": self._thoughts, **block}]) + b"}")
                self._thoughts += 1
        self._pending.clear()

    def _counted(self, item: _Item, text: str) -> bytes:
        item.said = True
        data = _text(text)
        self._pieces += 1
        self._size += len(data) - 2
        return data

    def _content(self, item: _Item, text: str) -> None:
        if text and not item.whole:
            self._length += len(text)
            self._chunk(b'{"content":' + self._counted(item, text) + b"}")

    def _refusal(self, item: _Item, text: str) -> None:
        if text and not item.whole:
            self._chunk(b'{"refusal":' + self._counted(item, text) + b"}")

    def _think(self, item: _Item, text: str, part: int) -> None:
        if not text or item.whole:
            return
        if part != item.part or (not item.said and self._reasoned):
            text = PARAGRAPH + text if item.said or self._reasoned else text
            item.part = part
        self._reasoned = True
        self._chunk(b'{"reasoning_content":' + self._counted(item, text) + b"}")

    def _call(self, item: _Item, given: dict[str, Any]) -> None:
        call = call_of(given, self._context)
        said = call[item.field] = {**call[item.field], "arguments" if item.field == "function" else "input": ""}
        if not self._context.legacy_functions:
            self._chunk(b'{"tool_calls":[' + _text({"index": item.number, **call}) + b"]}")
        elif item.number == 0 and item.field == "function":
            self._chunk(b'{"function_call":' + _text(said) + b"}")

    def _arguments(self, item: _Item, text: str) -> None:
        if not text or item.whole:
            return
        data = self._counted(item, text)
        if item.field == "custom":
            self._chunk(b'{"tool_calls":[{"index":%d,"custom":{"input":%b}}]}' % (item.number, data))
        elif not self._context.legacy_functions:
            self._chunk(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (item.number, data))
        elif item.number == 0:
            self._chunk(b'{"function_call":{"arguments":' + data + b"}}")
