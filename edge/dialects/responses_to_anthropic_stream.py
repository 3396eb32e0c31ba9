"""The events of OpenAI's Responses as Anthropic's, one by one.

Shapes: openai-python 3.57 ``types/responses/response_stream_event.py``, anthropic-sdk-python
``types/raw_message_stream_event.py``.

    event                                   events
    response.created, in_progress           message_start
    output_item.added                       function_call: the start of a block of tool_use
    output_text.delta, refusal.delta        text_delta; the first one of an item after the start of its block
    reasoning_summary_text.delta            thinking_delta, the same; a blank line between the parts of a summary
    function_call_arguments.delta           input_json_delta
    output_item.done                        what of the item has not been said; the signature; the block's end
    response.completed, incomplete          message_delta, message_stop
    response.failed, error                  error, and nothing after it
    anything else                           none

Anthropic's blocks follow each other. Items mostly do as well; what comes for one while another is open waits in it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from edge.dialects.anthropic import error_body
from edge.dialects.estimate import written_by_gpt
from edge.dialects.message import (
    delta_event,
    delta_usage,
    message,
    redacted_block,
    text_block,
    thinking_block,
    tool_use_block,
    whole_usage,
)
from edge.dialects.openai_to_anthropic_answer import event_error, stopped
from edge.dialects.responses import usage_of
from edge.dialects.responses_output import KNOWN, PARAGRAPH, finish_of, sealed_thought, text_in, thought_in
from edge.dialects.responses_reader import ResponsesReader, decode_any, decode_part, decode_whole
from edge.dialects.responses_to_anthropic_answer import called
from edge.dialects.translation import Context, arguments_object, encode
from edge.errors import EdgeError
from edge.hooks import Usage

__all__ = ["StreamTranslator"]

TEXT, THOUGHT, CALL = "text", "thinking", "tool_use"
KINDS = {"message": TEXT, "reasoning": THOUGHT, "function_call": CALL, "custom_tool_call": CALL}


class _Delta(msgspec.Struct):
    delta: str = ""
    output_index: int = 0
    summary_index: int = 0
    content_index: int = 0


_decode_delta = msgspec.json.Decoder(_Delta).decode
_text = msgspec.json.Encoder().encode
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}}\n\n'
DELTAS = {
    TEXT: b'{"type":"text_delta","text":%b',
    THOUGHT: b'{"type":"thinking_delta","thinking":%b',
    CALL: b'{"type":"input_json_delta","partial_json":%b',
}
BETA_DELTAS = {**DELTAS, THOUGHT: b'{"type":"thinking_delta","estimated_tokens":null,"thinking":%b'}
STARTS = {TEXT: _text(text_block("")), THOUGHT: _text(thinking_block(""))}
SIGNATURE = b'{"type":"signature_delta","signature":%b'
START = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'


class _Item:
    """What becomes a block, if it says anything: ``said`` is all its text, of which ``waiting`` has not gone out.
    ``start`` is its block's, b"" before that is known; ``part`` the last part of a summary; ``whole`` the item as it
    was in the end, None before that.
    """

    __slots__ = ("begun", "kind", "part", "said", "start", "waiting", "whole")

    def __init__(self, kind: str, start: bytes) -> None:
        self.kind = kind
        self.start = start
        self.begun = False
        self.part = 0
        self.said: list[str] = []
        self.waiting: list[str] = []
        self.whole: dict[str, Any] | None = None


class StreamTranslator(ResponsesReader):
    """One stream. Its message is named `context.request_id` if the provider does not name it; `now` has no use here."""

    __slots__ = (
        *("_calls", "_deltas", "_id", "_index", "_items", "_left", "_pieces", "_refusal"),
        *("_size", "_started", "usage"),
    )

    def __init__(self, context: Context, now: int = 0) -> None:
        super().__init__(context)
        self._deltas = BETA_DELTAS if context.beta else DELTAS
        self._id = f"msg_{context.request_id}"
        self._started = False
        self._refusal = ""
        self._index = -1
        self._items: dict[int, _Item] = {}
        self._left: deque[_Item] = deque()
        self._calls = self._pieces = self._size = 0
        self.usage: Usage | None = None

    def _error_event(self, error: EdgeError, request_id: str) -> bytes:
        return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"

    # What comes.

    def _begin(self, data: bytes, out: list[bytes]) -> None:
        if not self._started:
            self._start(decode_whole(data).response, out)

    def _added(self, data: bytes, out: list[bytes]) -> None:
        part = decode_part(data)
        self._item(part.output_index, part.item, out)
        self._advance(out)

    def _said(self, data: bytes, out: list[bytes]) -> None:
        event = _decode_delta(data)
        self._put(self._known(event.output_index, TEXT, out), event.delta, out)

    def _refused(self, data: bytes, out: list[bytes]) -> None:
        self._refusal += _decode_delta(data).delta
        self._said(data, out)

    def _thought(self, data: bytes, out: list[bytes]) -> None:
        event = _decode_delta(data)
        item = self._known(event.output_index, THOUGHT, out)
        text, part = event.delta, event.summary_index or event.content_index
        if text and part != item.part:
            text = PARAGRAPH + text if item.said else text
            item.part = part
        self._put(item, text, out)

    def _arguments(self, data: bytes, out: list[bytes]) -> None:
        event = _decode_delta(data)
        item = self._items.get(event.output_index)
        if item is not None and item.kind == CALL:
            self._put(item, event.delta, out)

    def _done(self, data: bytes, out: list[bytes]) -> None:
        part = decode_part(data)
        item = self._items.get(part.output_index) or self._item(part.output_index, part.item, out)
        if item is None or item.whole is not None:
            return
        self._whole(item, part.item, out)

    def _end(self, data: bytes, out: list[bytes]) -> None:
        response = decode_whole(data).response
        if not self._started:
            self._start(response, out)
        self._take_rest(response, out)
        self._advance(out, last=True)
        context = self._context
        usage = usage_of(data)
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)
        finish = finish_of(response, calls=self._calls > 0)
        ending = stopped(finish, context, calls=self._calls > 0, refusal=self._refusal)
        counted = context.counted(self.usage, lambda: written_by_gpt(self._size, self._pieces, self._calls))
        event = encode(delta_event(context, ending, delta_usage(context, counted)))
        out.append(b"event: message_delta\ndata: " + event + b"\n\n")
        out.append(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        self._closed = True

    def _failed(self, data: bytes, out: list[bytes]) -> None:
        value = decode_any(data)
        response = value.get("response")
        error = (response.get("error") if isinstance(response, dict) else None) or value.get("error") or value
        out.append(b"event: error\ndata: " + event_error(error, self._context.request_id) + b"\n\n")
        self._closed = True

    def _whole(self, item: _Item, whole: dict[str, Any], out: list[bytes]) -> None:
        """An item is whole; what of it has not come in pieces comes now."""
        if not item.said and (text := whole_text(whole)):
            self._refusal += text_in(whole)[1] if item.kind == TEXT else ""
            self._put(item, text, out)
        item.whole = whole
        self._advance(out)

    # What goes.

    def _start(self, response: dict[str, Any], out: list[bytes]) -> None:
        self._started = True
        self._id = response.get("id") or self._id
        context = self._context
        # Counts come at the end, and some clients read these alone: they get an estimate.
        usage = whole_usage(context, Usage(context.estimated_input(), 0))
        started = message(context, self._id, response.get("model") or context.model, [], usage)
        out.append(b"event: message_start\ndata: " + encode({"type": "message_start", "message": started}) + b"\n\n")

    def _item(self, index: int, item: dict[str, Any], out: list[bytes]) -> _Item | None:
        """A new item; None for one of a kind that means nothing here."""
        if not self._started:
            self._start({}, out)
        kind = KINDS.get(str(item.get("type")))
        if kind is None:
            if item.get("type") not in KNOWN:
                self._context.warnings.add("item")
            return None
        if kind == CALL:
            call_id, name = called(item, self._id, self._calls, self._context)
            self._calls += 1
            start = encode(tool_use_block(call_id, name, {}))
        else:
            start = STARTS[kind]
        made = self._items[index] = _Item(kind, start)
        self._left.append(made)
        return made

    def _known(self, index: int, kind: str, out: list[bytes]) -> _Item:
        """The item at `index`; a server may leave out that it begins."""
        item = self._items.get(index)
        if item is None:
            if not self._started:
                self._start({}, out)
            item = self._items[index] = _Item(kind, STARTS[kind])
            self._left.append(item)
        return item

    def _put(self, item: _Item, text: str, out: list[bytes]) -> None:
        if not text or item.whole is not None:
            return
        item.said.append(text)
        if item is self._left[0]:
            self._send(item, text, out)
        else:
            item.waiting.append(text)

    def _send(self, item: _Item, text: str, out: list[bytes]) -> None:
        if not item.begun:
            self._open(item, item.start, out)
        data = _text(text)
        self._pieces += 1
        self._size += len(data) - 2
        out.append(DELTA % (self._index, self._deltas[item.kind] % data))

    def _open(self, item: _Item, start: bytes, out: list[bytes]) -> None:
        item.begun = True
        self._index += 1
        out.append(START % (self._index, start))

    def _advance(self, out: list[bytes], *, last: bool = False) -> None:
        """Close what is whole, and go on with what is next; at the end all is."""
        while self._left:
            item = self._left[0]
            if item.waiting:
                text = "".join(item.waiting)
                item.waiting = []
                self._send(item, text, out)
            if item.kind == CALL and not item.begun:
                self._open(item, item.start, out)
            if item.whole is None and not last:
                return
            self._close(item, out)
            self._left.popleft()

    def _close(self, item: _Item, out: list[bytes]) -> None:
        if item.kind == THOUGHT:
            sealed = sealed_thought(item.whole or {}, self._context.seal)
            if item.begun:
                out.append(DELTA % (self._index, SIGNATURE % _text(sealed)))
            elif sealed:
                self._open(item, encode(redacted_block(sealed)), out)
        elif item.kind == CALL and arguments_object("".join(item.said)) is None:
            self._context.warnings.add("arguments")  # cut off, as the stop reason will say
        if item.begun:
            out.append(STOP % self._index)

    def _take_rest(self, response: dict[str, Any], out: list[bytes]) -> None:
        """What a server says in its last event alone."""
        output, silent = response.get("output"), not self._items
        for index, whole in enumerate(output if isinstance(output, list) else ()):
            item = self._items.get(index)
            if not isinstance(whole, dict) or (item is None and not silent):
                continue
            item = item or self._item(index, whole, out)
            if item is not None and item.whole is None:
                self._whole(item, whole, out)


def whole_text(item: dict[str, Any]) -> str:
    """What an item says that came at once."""
    kind = item.get("type")
    if kind == "message":
        return text_in(item)[0]
    if kind == "reasoning":
        return thought_in(item)
    text = item.get("arguments")
    if kind == "custom_tool_call":
        text = encode({"input": item.get("input")}).decode()
    return text if isinstance(text, str) else ""


StreamTranslator.STEPS = {
    b"response.created": StreamTranslator._begin,
    b"response.in_progress": StreamTranslator._begin,
    b"response.output_item.added": StreamTranslator._added,
    b"response.output_text.delta": StreamTranslator._said,
    b"response.refusal.delta": StreamTranslator._refused,
    b"response.reasoning_summary_text.delta": StreamTranslator._thought,
    b"response.reasoning_text.delta": StreamTranslator._thought,
    b"response.function_call_arguments.delta": StreamTranslator._arguments,
    b"response.output_item.done": StreamTranslator._done,
    b"response.completed": StreamTranslator._end,
    b"response.incomplete": StreamTranslator._end,
    b"response.failed": StreamTranslator._failed,
    b"error": StreamTranslator._failed,
}
