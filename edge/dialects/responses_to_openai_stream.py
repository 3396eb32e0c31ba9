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

from typing import Any

import msgspec

from edge.dialects import openai
from edge.dialects.chat_chunks import ChunkWriter
from edge.dialects.estimate import written_by_gpt
from edge.dialects.openai import error_body
from edge.dialects.responses import usage_of
from edge.dialects.responses_output import KNOWN, PARAGRAPH, text_in, thought_in
from edge.dialects.responses_reader import ResponsesReader, decode_any, decode_part, decode_whole
from edge.dialects.responses_to_openai_answer import annotation, call_of, finish_reason, renamed_error, thinking_block
from edge.dialects.translation import Context, encode
from edge.errors import EdgeError
from edge.hooks import Usage

__all__ = ["StreamTranslator"]

CALLS = ("function_call", "custom_tool_call")
KINDS = ("message", "reasoning", *CALLS)
"""Items of which something is told."""


class _Delta(msgspec.Struct):
    delta: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    annotation: Any = None


_decode_delta = msgspec.json.Decoder(_Delta).decode
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
        *("_calls", "_chunk", "_chunks", "_items", "_length", "_pending"),
        *("_pieces", "_reasoned", "_size", "_thoughts", "usage"),
    )

    def __init__(self, context: Context, now: int) -> None:
        super().__init__(context)
        self._chunks = ChunkWriter(context, now)
        self._chunk = self._chunks.chunk
        self._items: dict[int, _Item] = {}
        self._calls = self._thoughts = self._length = self._pieces = self._size = 0
        self._reasoned = False
        self._pending: list[dict[str, Any]] = []
        self.usage: Usage | None = None

    def _error_event(self, error: EdgeError, request_id: str) -> bytes:
        return b"data: " + error_body(error) + b"\n\n"

    # What comes.

    def _begin(self, data: bytes, out: list[bytes]) -> None:
        if not self._chunks.begun:
            response = decode_whole(data).response
            self._chunks.named(response.get("id"), response.get("model"))

    def _added(self, data: bytes, out: list[bytes]) -> None:
        part = decode_part(data)
        self._item(part.output_index, part.item, out)

    def _said(self, data: bytes, out: list[bytes]) -> None:
        event = _decode_delta(data)
        item = self._known(event.output_index, "message")
        item.starts.setdefault(event.content_index, self._length)
        self._content(item, event.delta, out)

    def _refused(self, data: bytes, out: list[bytes]) -> None:
        event = _decode_delta(data)
        self._refusal(self._known(event.output_index, "message"), event.delta, out)

    def _thought(self, data: bytes, out: list[bytes]) -> None:
        event = _decode_delta(data)
        self._think(
            self._known(event.output_index, "reasoning"), event.delta, event.summary_index or event.content_index, out
        )

    def _more(self, data: bytes, out: list[bytes]) -> None:
        event = _decode_delta(data)
        item = self._items.get(event.output_index)
        if item is not None and item.kind in CALLS:
            self._arguments(item, event.delta, out)

    def _annotated(self, data: bytes, out: list[bytes]) -> None:
        event = _decode_delta(data)
        item = self._items.get(event.output_index)
        noted = annotation(event.annotation, item.starts.get(event.content_index, 0) if item is not None else 0)
        if noted is not None:
            self._chunk(b'{"annotations":' + _text([noted]) + b"}", out)

    def _done(self, data: bytes, out: list[bytes]) -> None:
        part = decode_part(data)
        item = self._items.get(part.output_index) or self._item(part.output_index, part.item, out)
        if item is not None:
            self._whole(item, part.item, out)

    def _end(self, data: bytes, out: list[bytes]) -> None:
        response = decode_whole(data).response
        self._begin(data, out)
        output, silent = response.get("output"), not self._items
        for index, whole in enumerate(output if isinstance(output, list) else ()):
            item = self._items.get(index)
            if isinstance(whole, dict) and (item is not None or silent):
                item = item or self._item(index, whole, out)
                if item is not None:
                    self._whole(item, whole, out)
        self._tell_thoughts("", out)
        usage = usage_of(data)
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)
        self._chunks.end(finish_reason(response, self._context, calls=self._calls > 0), self._used, out)
        self._closed = True

    def _used(self) -> Usage:
        return self._context.counted(self.usage, lambda: written_by_gpt(self._size, self._pieces, self._calls))

    def _failed(self, data: bytes, out: list[bytes]) -> None:
        value = decode_any(data)
        response = value.get("response")
        error = (response.get("error") if isinstance(response, dict) else None) or value.get("error") or value
        error = renamed_error(error if isinstance(error, dict) else {"message": error})
        if error["type"] in (None, "error", "response.failed"):  # the event's own
            error["type"] = openai.error_type(openai.status_of(error))
        out.append(b"data: " + encode({"error": error}) + b"\n\n")
        self._closed = True

    # What goes.

    def _item(self, index: int, item: dict[str, Any], out: list[bytes]) -> _Item | None:
        """A new item; None for one of a kind that means nothing here."""
        kind = str(item.get("type"))
        if kind not in KINDS:
            if kind not in KNOWN:
                self._context.warnings.add("item")
            return None
        made = self._items[index] = _Item(kind, self._calls)
        if kind in CALLS:
            self._tell_thoughts(str(item.get("call_id") or ""), out)
            self._calls += 1
            self._call(made, item, out)
        elif kind == "message":
            self._tell_thoughts("", out)
        return made

    def _known(self, index: int, kind: str) -> _Item:
        """The item at `index`; a server may leave out that it begins."""
        item = self._items.get(index)
        if item is None:
            item = self._items[index] = _Item(kind)
        return item

    def _whole(self, item: _Item, whole: dict[str, Any], out: list[bytes]) -> None:
        """An item is whole; what of it has not come in pieces comes now."""
        if item.whole:
            return
        if not item.said:
            self._say(item, whole, out)
        item.whole = True
        if item.kind == "reasoning":
            self._pending.append(whole)

    def _say(self, item: _Item, whole: dict[str, Any], out: list[bytes]) -> None:
        if item.kind == "message":
            for place, part in enumerate(whole.get("content") or ()):
                start = item.starts[place] = self._length
                self._content(item, part.get("text") or "", out)
                noted = [annotation(each, start) for each in part.get("annotations") or ()]
                if noted := [each for each in noted if each is not None]:
                    self._chunk(b'{"annotations":' + _text(noted) + b"}", out)
            self._refusal(item, text_in(whole)[1], out)
        elif item.kind == "reasoning":
            self._think(item, thought_in(whole), 0, out)
        else:
            text = whole.get("input" if item.kind == "custom_tool_call" else "arguments")
            self._arguments(item, text if isinstance(text, str) else "", out)
            if not item.said and item.kind == "function_call":
                self._arguments(item, "{}", out)

    def _tell_thoughts(self, before: str, out: list[bytes]) -> None:
        """Thoughts that are whole, and led to the call `before`, if to any. ``index`` is what the SDK tells the entries
        of a list apart by.
        """
        for item in self._pending:
            if block := thinking_block(item, self._context, before):
                self._chunk(b'{"thinking_blocks":' + _text([{"index": self._thoughts, **block}]) + b"}", out)
                self._thoughts += 1
        self._pending.clear()

    def _counted(self, item: _Item, text: str) -> bytes:
        item.said = True
        data = _text(text)
        self._pieces += 1
        self._size += len(data) - 2
        return data

    def _content(self, item: _Item, text: str, out: list[bytes]) -> None:
        if text and not item.whole:
            self._length += len(text)
            self._chunk(b'{"content":' + self._counted(item, text) + b"}", out)

    def _refusal(self, item: _Item, text: str, out: list[bytes]) -> None:
        if text and not item.whole:
            self._chunk(b'{"refusal":' + self._counted(item, text) + b"}", out)

    def _think(self, item: _Item, text: str, part: int, out: list[bytes]) -> None:
        if not text or item.whole:
            return
        if part != item.part or (not item.said and self._reasoned):
            text = PARAGRAPH + text if item.said or self._reasoned else text
            item.part = part
        self._reasoned = True
        self._chunk(b'{"reasoning_content":' + self._counted(item, text) + b"}", out)

    def _call(self, item: _Item, given: dict[str, Any], out: list[bytes]) -> None:
        call = call_of(given, self._context)
        said = call[item.field] = {**call[item.field], "arguments" if item.field == "function" else "input": ""}
        if not self._context.legacy_functions:
            self._chunk(b'{"tool_calls":[' + _text({"index": item.number, **call}) + b"]}", out)
        elif item.number == 0 and item.field == "function":
            self._chunk(b'{"function_call":' + _text(said) + b"}", out)

    def _arguments(self, item: _Item, text: str, out: list[bytes]) -> None:
        if not text or item.whole:
            return
        data = self._counted(item, text)
        if item.field == "custom":
            self._chunk(b'{"tool_calls":[{"index":%d,"custom":{"input":%b}}]}' % (item.number, data), out)
        elif not self._context.legacy_functions:
            self._chunk(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (item.number, data), out)
        elif item.number == 0:
            self._chunk(b'{"function_call":{"arguments":' + data + b"}}", out)


StreamTranslator.STEPS = {
    b"response.created": StreamTranslator._begin,
    b"response.in_progress": StreamTranslator._begin,
    b"response.output_item.added": StreamTranslator._added,
    b"response.output_text.delta": StreamTranslator._said,
    b"response.refusal.delta": StreamTranslator._refused,
    b"response.reasoning_summary_text.delta": StreamTranslator._thought,
    b"response.reasoning_text.delta": StreamTranslator._thought,
    b"response.function_call_arguments.delta": StreamTranslator._more,
    b"response.custom_tool_call_input.delta": StreamTranslator._more,
    b"response.output_text.annotation.added": StreamTranslator._annotated,
    b"response.output_item.done": StreamTranslator._done,
    b"response.completed": StreamTranslator._end,
    b"response.incomplete": StreamTranslator._end,
    b"response.failed": StreamTranslator._failed,
    b"error": StreamTranslator._failed,
}
