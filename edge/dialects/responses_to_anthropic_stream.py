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

from edge.dialects.estimate import written_by_gpt
from edge.dialects.message import redacted_block, tool_use_block
from edge.dialects.message_writer import CALL, STARTS, TEXT, THOUGHT, MessageWriter
from edge.dialects.openai_to_anthropic_answer import event_error, stopped
from edge.dialects.responses import usage_of
from edge.dialects.responses_output import KNOWN, PARAGRAPH, finish_of, sealed_thought, text_in, thought_in
from edge.dialects.responses_reader import ResponsesReader, decode_delta, decode_part, decode_whole
from edge.dialects.responses_to_anthropic_answer import called
from edge.dialects.translation import Context, arguments_object, encode

__all__ = ["StreamTranslator"]

KINDS = {"message": TEXT, "reasoning": THOUGHT, "function_call": CALL, "custom_tool_call": CALL}


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

    __slots__ = ("_calls", "_id", "_items", "_left", "_refusal", "_started")
    _writer: MessageWriter

    def __init__(self, context: Context, now: int = 0) -> None:
        super().__init__(context, MessageWriter(context))
        self._id = f"msg_{context.request_id}"
        self._started = False
        self._refusal = ""
        self._items: dict[int, _Item] = {}
        self._left: deque[_Item] = deque()
        self._calls = 0

    # What comes.

    def _begin(self, data: bytes) -> None:
        if not self._started:
            self._start(decode_whole(data).response)

    def _added(self, data: bytes) -> None:
        part = decode_part(data)
        self._item(part.output_index, part.item)
        self._advance()

    def _said(self, data: bytes) -> None:
        event = decode_delta(data)
        self._put(self._known(event.output_index, TEXT), event.delta)

    def _refused(self, data: bytes) -> None:
        self._refusal += decode_delta(data).delta
        self._said(data)

    def _thought(self, data: bytes) -> None:
        event = decode_delta(data)
        item = self._known(event.output_index, THOUGHT)
        text, part = event.delta, event.summary_index or event.content_index
        if text and part != item.part:
            text = PARAGRAPH + text if item.said else text
            item.part = part
        self._put(item, text)

    def _more(self, data: bytes) -> None:
        event = decode_delta(data)
        item = self._items.get(event.output_index)
        if item is not None and item.kind == CALL:
            self._put(item, event.delta)

    def _done(self, data: bytes) -> None:
        part = decode_part(data)
        item = self._items.get(part.output_index) or self._item(part.output_index, part.item)
        if item is None or item.whole is not None:
            return
        self._whole(item, part.item)

    def _end(self, data: bytes) -> None:
        response = decode_whole(data).response
        if not self._started:
            self._start(response)
        self._take_rest(response)
        self._advance(last=True)
        self._count(usage_of(data))
        context, writer = self._context, self._writer
        finish = finish_of(response, calls=self._calls > 0)
        ending = stopped(finish, context, calls=self._calls > 0, refusal=self._refusal)
        writer.end(ending, context.counted(self.usage, lambda: written_by_gpt(writer.size, writer.pieces, self._calls)))
        self._closed = True

    def _broken(self, error: Any) -> None:
        self._writer.error(event_error(error, self._context.request_id))

    def _whole(self, item: _Item, whole: dict[str, Any]) -> None:
        """An item is whole; what of it has not come in pieces comes now."""
        if not item.said and (text := whole_text(whole)):
            self._refusal += text_in(whole)[1] if item.kind == TEXT else ""
            self._put(item, text)
        item.whole = whole
        self._advance()

    # What goes.

    def _start(self, response: dict[str, Any]) -> None:
        self._started = True
        self._id = response.get("id") or self._id
        tier = response.get("service_tier")
        self._writer.begin(self._id, response.get("model"), tier=tier if isinstance(tier, str) else "")

    def _item(self, index: int, item: dict[str, Any]) -> _Item | None:
        """A new item; None for one of a kind that means nothing here."""
        if not self._started:
            self._start({})
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

    def _known(self, index: int, kind: str) -> _Item:
        """The item at `index`; a server may leave out that it begins."""
        item = self._items.get(index)
        if item is None:
            if not self._started:
                self._start({})
            item = self._items[index] = _Item(kind, STARTS[kind])
            self._left.append(item)
        return item

    def _put(self, item: _Item, text: str) -> None:
        if not text or item.whole is not None:
            return
        item.said.append(text)
        if item is self._left[0]:
            self._send(item, text)
        else:
            item.waiting.append(text)

    def _send(self, item: _Item, text: str) -> None:
        if not item.begun:
            self._open(item, item.start)
        self._writer.send(item.kind, text)

    def _open(self, item: _Item, start: bytes) -> None:
        item.begun = True
        self._writer.open(start)

    def _advance(self, *, last: bool = False) -> None:
        """Close what is whole, and go on with what is next; at the end all is."""
        while self._left:
            item = self._left[0]
            if item.waiting:
                text = "".join(item.waiting)
                item.waiting = []
                self._send(item, text)
            if item.kind == CALL and not item.begun:
                self._open(item, item.start)
            if item.whole is None and not last:
                return
            self._close(item)
            self._left.popleft()

    def _close(self, item: _Item) -> None:
        if item.kind == THOUGHT:
            sealed = sealed_thought(item.whole or {}, self._context.seal)
            if item.begun:
                self._writer.sign(sealed)
            elif sealed:
                self._open(item, encode(redacted_block(sealed)))
        elif item.kind == CALL and arguments_object("".join(item.said)) is None:
            self._context.warnings.add("arguments")  # cut off, as the stop reason will say
        if item.begun:
            self._writer.close()

    def _take_rest(self, response: dict[str, Any]) -> None:
        """What a server says in its last event alone."""
        output, silent = response.get("output"), not self._items
        for index, whole in enumerate(output if isinstance(output, list) else ()):
            item = self._items.get(index)
            if not isinstance(whole, dict) or (item is None and not silent):
                continue
            item = item or self._item(index, whole)
            if item is not None and item.whole is None:
                self._whole(item, whole)


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
