"""A response of OpenAI's Responses, written down as it comes: its items, and the events of a stream.

Shapes and order: openai-python 3.57, ``types/responses/*_event.py`` and ``lib/streaming/responses/_responses.py``.

    what comes        becomes
    text, refusal     a part of a message, which goes on until something else comes
    a thought         an item of reasoning with a summary of one part, and an envelope by which it is thought of again
    a call            an item: of a function, or of what the client's tool was before a function stood for it
    a search          an item of a search of the web

One item is open at a time, until another begins or the response ends. A whole answer is written by the same calls,
without events.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge.dialects.kept_response import KeptResponse
from edge.dialects.responses_items import (
    ECHOED,
    ClientTool,
    base_of,
    call_item,
    custom_call_item,
    item_id,
    message_item,
    output_text,
    reasoning_item,
    refusal_part,
    response_id,
    responses_usage,
    search_item,
    summary_text,
)
from edge.dialects.responses_shell import KINDS, learnt_call
from edge.dialects.responses_tools import custom_text
from edge.dialects.translation import Context, arguments_object, encode
from edge.errors import EdgeError
from edge.hooks import Usage

__all__ = ["ResponseWriter"]

_text = msgspec.json.Encoder().encode
PARTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
}
"""Parts of a message: their text, and its events."""
TEXT_DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","content_index":%d,"delta":%b,'
    b'"item_id":"%b","logprobs":[],"output_index":%d,"sequence_number":%d}\n\n'
)
DELTA = b'event: %b\ndata: {"type":"%b",%b"delta":%b,"item_id":"%b","output_index":%d,"sequence_number":%d}\n\n'
ARGUMENTS = b"response.function_call_arguments.delta"
REFUSAL = b"response.refusal.delta"
SUMMARY = b"response.reasoning_summary_text.delta"
PREFIXES = {"function": "fc", "custom": "ctc", "tool_search": "tsc"} | {
    name: kind.prefix for name, kind in KINDS.items()
}
PLAIN = ClientTool("function", "")
LEFT_OUT = b"u001a"
"""What a stand-in for a long text has in it, however often it is encoded."""
ERROR = "server_error"
ERRORS = frozenset(
    (
        *("server_error", "rate_limit_exceeded", "invalid_prompt", "vector_store_timeout", "invalid_image"),
        *("context_length_exceeded", "insufficient_quota", "server_is_overloaded", "slow_down"),
    )
)


class _Open:
    """The item that is open: its place, and what it has so far. ``kind`` is ``message``, ``reasoning``, ``call`` or
    ``search``; ``pieces`` of the open part, or of arguments.
    """

    __slots__ = ("call_id", "id", "kind", "parts", "pieces", "place", "tool", "written")

    def __init__(self, kind: str, place: int, own_id: str) -> None:
        self.kind = kind
        self.place = place
        self.id = own_id
        self.written = own_id.encode()
        self.parts: list[dict[str, Any]] = []
        self.pieces: list[str] = []
        self.tool = PLAIN
        self.call_id = ""


class ResponseWriter:
    """Writes one response to the request of `context`, made at `now` in unix seconds. With `out` events are put there.

    ``usage`` may be set until `end`.
    """

    __slots__ = ("_base", "_context", "_head", "_items", "_model", "_now", "_open", "_out", "_sequence", "begun")

    def __init__(self, context: Context, now: int, out: bool) -> None:
        self._context = context
        self._now = now
        self._base = base_of(context.request_id)
        self._model = context.model
        self._items: list[dict[str, Any]] = []
        self._open: _Open | None = None
        self._out: list[bytes] | None = [] if out else None
        self._sequence = 0
        self._head: dict[str, Any] = {}
        self.begun = False

    def taken(self) -> bytes:
        """The events since this was asked last."""
        out = self._out
        if not out:
            return b""
        taken = b"".join(out)
        out.clear()
        return taken

    def begin(self, given_id: str | None, model: str | None) -> None:
        """The answer has begun: `given_id` and `model` are what its provider calls it and itself."""
        if self.begun:
            return
        self.begun = True
        if given_id:
            self._base = base_of(given_id)
        self._model = model or self._model
        self._head = self._said()
        if self._out is not None:
            begun = self._response("in_progress")
            self._event("response.created", response=begun)
            self._event("response.in_progress", response=begun)

    def resume(self, head: dict[str, Any], items: list[dict[str, Any]], own_id: str, text: str, sequence: int) -> None:
        """Go on with a response that another has begun: `head` is what it says of itself, `items` are those that are
        whole, and in the message `own_id` after them a `text` is open. `sequence` is the number of the next event.
        """
        self.begun = True
        self._head = head
        made = head.get("created_at")
        self._now = int(made) if isinstance(made, (int, float)) else 0
        self._items = list(items)
        item = self._open = _Open("message", len(items), own_id)
        item.parts.append(output_text(""))
        item.pieces.append(text)
        self._sequence = sequence

    def keeps(self, kept: KeptResponse | None) -> None:
        """Who is to have it once it is whole."""
        self._context.keep = kept

    def _said(self) -> dict[str, Any]:
        """What the response says of itself, in its order; what it says of its request is encoded once for all events,
        and not told again where it is too long to be there as a whole.
        """
        echo = {name: msgspec.Raw(encode(value)) for name, value in self._context.echo.items()}
        keep = self._context.keep
        belongs = {"conversation": {"id": keep.conversation}} if keep is not None and keep.conversation else {}
        return {
            "id": response_id(self._base) if keep is None else keep.id,
            "object": "response",
            "created_at": self._now,
            "status": "in_progress",
            "background": False,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            **{name: raw if LEFT_OUT not in bytes(raw) else ECHOED[name] for name, raw in echo.items()},
            "model": self._model,
            "output": [],
            "previous_response_id": None if keep is None else keep.previous,
            **belongs,
            "store": keep is not None and keep.stored,
            "usage": None,
            "user": None,
            "metadata": {},
        }

    # What a model says.

    def text(self, text: str) -> None:
        if not text:
            return
        item = self._message("output_text")
        item.pieces.append(text)
        if self._out is not None:
            place = len(item.parts) - 1
            self._out.append(TEXT_DELTA % (place, _text(text), item.written, item.place, self._next()))

    def refusal(self, text: str) -> None:
        if not text:
            return
        item = self._message("refusal")
        item.pieces.append(text)
        self._delta(REFUSAL, b'"content_index":%d,' % (len(item.parts) - 1), text, item)

    def position(self) -> int:
        """Characters of the text that is open: where the next begins."""
        item = self._open
        if item is None or item.kind != "message" or not item.parts or item.parts[-1]["type"] != "output_text":
            return 0
        return sum(map(self._context.length, item.pieces))

    def annotate(self, annotations: list[dict[str, Any]]) -> None:
        """Citations of the text that is open."""
        item = self._open
        if item is None or item.kind != "message" or not item.parts or item.parts[-1]["type"] != "output_text":
            return
        noted = item.parts[-1]["annotations"]
        for each in annotations:
            self._event(
                "response.output_text.annotation.added",
                **self._in(item, content_index=len(item.parts) - 1),
                annotation=each,
                annotation_index=len(noted),
            )
            noted.append(each)

    def thought(self, text: str) -> None:
        """More of a thought, which `end_thought` ends."""
        if not text:
            return
        item = self._reasoning()
        if not item.parts:
            item.parts.append(summary_text(""))
            place = self._in(item, summary_index=0)
            self._event("response.reasoning_summary_part.added", **place, part=summary_text(""))
        item.pieces.append(text)
        self._delta(SUMMARY, b'"summary_index":0,', text, item)

    def end_thought(self, encrypted: str) -> None:
        """The thought is whole. `encrypted` is what it can be thought of again by, "" for nothing."""
        item = self._reasoning()
        text = "".join(item.pieces)
        if item.parts:
            item.parts[0]["text"] = text
            place = self._in(item, summary_index=0)
            self._event("response.reasoning_summary_text.done", **place, text=text)
            self._event("response.reasoning_summary_part.done", **place, part=item.parts[0])
        self._done(item, reasoning_item(item.id, item.parts, encrypted or None))

    def call(self, call_id: str, name: str) -> None:
        """A call of a function begins."""
        self.close()
        name = self._context.tool_names.get(name, name)
        tool = self._context.client_tools.get(name) or ClientTool("function", name)
        item = self._begin("call", PREFIXES[tool.kind])
        item.tool, item.call_id = tool, call_id
        self._event("response.output_item.added", output_index=item.place, item=self._call(item, "", "in_progress"))

    def arguments(self, text: str) -> None:
        """More of the arguments of the call that is open."""
        item = self._open
        if item is None or item.kind != "call" or not text:
            return
        item.pieces.append(text)
        if item.tool.kind == "function":
            self._delta(ARGUMENTS, b"", text, item)

    def search(self, query: str) -> None:
        """The provider has searched the web."""
        self.close()
        item = self._begin("search", "ws")
        begun = search_item(item.id, query, "in_progress")
        self._event("response.output_item.added", output_index=item.place, item=begun)
        for state in ("in_progress", "searching", "completed"):
            self._event(f"response.web_search_call.{state}", **self._in(item))
        self._done(item, search_item(item.id, query))

    def close(self, status: str = "completed") -> None:
        """What is open is whole, or cut off if it is ``incomplete``."""
        item = self._open
        if item is None:
            return
        if item.kind == "message":
            self._end_part(item)
            self._done(item, message_item(item.id, item.parts, status))
        elif item.kind == "reasoning":
            self.end_thought("")
        else:
            self._end_call(item, status)

    # How it ends.

    def end(self, usage: Usage | None, reason: str, *, estimated: bool = False) -> dict[str, Any]:
        """The response is whole, or with a `reason` is incomplete for that. Returns it. `estimated`: its usage is not
        what one provider has counted.
        """
        self.begin(None, None)
        self.close("incomplete" if reason else "completed")
        status = "incomplete" if reason else "completed"
        response = self._response(status)
        if usage is not None:
            response["usage"] = responses_usage(usage, estimated=estimated or self._context.told is not None)
        if reason:
            response["incomplete_details"] = {"reason": reason}
        else:
            response["completed_at"] = self._now
        self._event(f"response.{status}", response=response)
        if self._context.keep is not None:
            self._context.keep.whole = encode(response)
        return response

    def fail(self, code: str, message: str, param: str | None = None) -> None:
        """The provider has broken off with an error: the event of one, and a response that has failed."""
        self.begin(None, None)
        self._event("error", code=code, message=message, param=param)
        response = self._response("failed")
        response["error"] = {"code": code if code in ERRORS else ERROR, "message": message}
        self._event("response.failed", response=response)

    def failure(self, error: EdgeError, request_id: str) -> bytes:
        """An error of our own as the last events of one client, while others go on. What came before is not told again:
        where an answer is looked through for personal data, this is not.
        """
        sequence, begun, out, items = self._sequence, self.begun, self._out, self._items
        self._out, self._items = [], []
        self.fail(error.code, error.message, error.param)
        told = self.taken()
        self._sequence, self.begun, self._out, self._items = sequence, begun, out, items
        return told

    # Inside.

    def _response(self, status: str) -> dict[str, Any]:
        return {**self._head, "status": status, "output": list(self._items)}

    def _next(self) -> int:
        number = self._sequence
        self._sequence = number + 1
        return number

    def _event(self, kind: str, **fields: Any) -> None:
        if self._out is not None:
            data = encode({"type": kind, **fields, "sequence_number": self._next()})
            self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))

    def _delta(self, name: bytes, place: bytes, text: str, item: _Open) -> None:
        if self._out is not None:
            self._out.append(DELTA % (name, name, place, _text(text), item.written, item.place, self._next()))

    @staticmethod
    def _in(item: _Open, **place: int) -> dict[str, Any]:
        return {"item_id": item.id, "output_index": item.place, **place}

    def _begin(self, kind: str, prefix: str) -> _Open:
        self.begin(None, None)  # a server may leave out that it begins
        place = len(self._items)
        item = self._open = _Open(kind, place, item_id(prefix, self._base, place))
        return item

    def _done(self, item: _Open, made: dict[str, Any]) -> None:
        self._items.append(made)
        self._open = None
        self._event("response.output_item.done", output_index=item.place, item=made)

    def _message(self, part: str) -> _Open:
        """The message that is open, with such a part at its end."""
        item = self._open
        if item is None or item.kind != "message":
            self.close()
            item = self._begin("message", "msg")
            begun = message_item(item.id, [], "in_progress")
            self._event("response.output_item.added", output_index=item.place, item=begun)
        if not item.parts or item.parts[-1]["type"] != part:
            self._end_part(item)
            made = output_text("") if part == "output_text" else refusal_part("")
            item.parts.append(made)
            place = self._in(item, content_index=len(item.parts) - 1)
            self._event("response.content_part.added", **place, part=made)
        return item

    def _end_part(self, item: _Open) -> None:
        if not item.parts:
            return
        part = item.parts[-1]
        field, name = PARTS[part["type"]]
        text = part[field] = "".join(item.pieces)
        item.pieces = []
        place = self._in(item, content_index=len(item.parts) - 1)
        more: dict[str, Any] = {"logprobs": []} if field == "text" else {}
        self._event(f"{name}.done", **place, **more, **{field: text})
        self._event("response.content_part.done", **place, part=part)

    def _reasoning(self) -> _Open:
        item = self._open
        if item is None or item.kind != "reasoning":
            self.close()
            item = self._begin("reasoning", "rs")
            self._event("response.output_item.added", output_index=item.place, item=reasoning_item(item.id, []))
        return item

    def _end_call(self, item: _Open, status: str) -> None:
        text = "".join(item.pieces)
        kind = item.tool.kind
        if kind == "function":
            if not text:
                text = "{}"
                self._delta(ARGUMENTS, b"", text, item)
            self._event("response.function_call_arguments.done", **self._in(item), name=item.tool.name, arguments=text)
        elif kind == "custom":
            text = custom_text(text)
            self._delta(b"response.custom_tool_call_input.delta", b"", text, item)
            self._event("response.custom_tool_call_input.done", **self._in(item), input=text)
        self._done(item, self._call(item, text, status))

    @staticmethod
    def _call(item: _Open, text: str, status: str) -> dict[str, Any]:
        tool = item.tool
        if tool.kind == "tool_search":
            return {
                "id": item.id,
                "type": "tool_search_call",
                "status": status,
                "arguments": arguments_object(text) or {},
                "call_id": item.call_id,
                "execution": "client",
            }
        if tool.kind in KINDS:
            return learnt_call(tool.kind, item.id, item.call_id, text, status)
        made = call_item if tool.kind == "function" else custom_call_item
        call = made(item.id, item.call_id, tool.name, text, status)
        if tool.namespace:
            call["namespace"] = tool.namespace
        return call
