"""OpenAI's chunks as Anthropic's events, one by one.

Shapes: openai-python ``types/chat/chat_completion_chunk.py``, anthropic-sdk-python
``types/raw_message_stream_event.py``, https://platform.claude.com/docs/en/build-with-claude/streaming.

Anthropic's blocks follow each other: one is open at a time, and it is closed before the next one opens. OpenAI's calls
of tools may come in turns. So each text, each thought and each call is a lane:

    lane     is opened                                    may be closed for another lane
    text     by its first content                         at any time
    thought  by its first content                         at any time
    call     by its id and its name, both known           once its arguments are a whole JSON object

What comes for another lane while the open one may not be closed waits in it, till then or till the end.
Servers that give calls no index, or all of them the same, tell them apart by their ids, and without ids by their names.
The stop reason waits for the counts, which OpenAI sends last: Anthropic's ``message_delta`` carries both.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from edge.dialects import openai
from edge.dialects.anthropic import error_body
from edge.dialects.estimate import written_by_gpt
from edge.dialects.message import (
    UNSIGNED,
    delta_event,
    delta_usage,
    message,
    text_block,
    thinking_block,
    tool_use_block,
    whole_usage,
)
from edge.dialects.openai_to_anthropic_answer import event_error, invented_id, stopped, text_of
from edge.dialects.stream import heartbeat
from edge.dialects.translation import Context, anthropic_id, arguments_object, encode
from edge.errors import UNREADABLE, EdgeError, UpstreamBadResponse, UpstreamStreamBroken
from edge.hooks import Usage

__all__ = ["StreamTranslator"]

TEXT, THOUGHT, CALL = "text", "thinking", "tool_use"


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode
_text = msgspec.json.Encoder().encode
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}}\n\n'
DELTAS = {
    TEXT: b'{"type":"text_delta","text":%b',
    THOUGHT: b'{"type":"thinking_delta","thinking":%b',
    CALL: b'{"type":"input_json_delta","partial_json":%b',
}
BETA_DELTAS = {**DELTAS, THOUGHT: b'{"type":"thinking_delta","estimated_tokens":null,"thinking":%b'}
STARTS = {
    TEXT: _text(text_block("")),
    THOUGHT: _text(thinking_block("")),
}
SIGNATURE = b'{"type":"signature_delta","signature":%b' % _text(UNSIGNED)
"""What ends a thought: clients wait for it, and put it where the block's signature is."""
START = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'


MAX_LOOKS = 16
"""How often the arguments of one call are read to see whether they are whole: more than any sound stream needs."""


class _Lane:
    """What becomes one block. ``waiting`` is text that has come and not gone out; ``pieces`` all that has, of a call.

    ``number`` counts the calls.
    """

    __slots__ = ("_looked", "_looks", "_whole", "closed", "id", "kind", "name", "number", "pieces", "waiting")

    def __init__(self, kind: str, number: int = 0) -> None:
        self.kind = kind
        self.number = number
        self.id = ""
        self.name = ""
        self.waiting: list[str] = []
        self.pieces: list[str] = []
        self._looked = self._looks = 0
        self._whole = False
        self.closed = False

    def may_open(self) -> bool:
        return self.kind != CALL or bool(self.id and self.name)

    def may_close(self) -> bool:
        return self.kind != CALL or self.whole()

    def whole(self) -> bool:
        """Whether a call's arguments are an object from the first brace to the last."""
        if len(self.pieces) > self._looked:
            self._looked = len(self.pieces)
            self._whole = False
            if self._looks < MAX_LOOKS and self.pieces[-1].endswith("}"):
                self._looks += 1
                self._whole = arguments_object("".join(self.pieces)) is not None
        return self._whole


class StreamTranslator:
    """One stream, whose message has the name `context.request_id` if the provider gives it none. `now` has no use here.

    `feed` takes events as the SSE decoder gives them, and `finish` the end of the body; both return what to send on.
    After an error, or the end, they return nothing more. Raises UpstreamBadResponse for an event that cannot be read.
    """

    __slots__ = (
        *(
            "_by_id",
            "_by_index",
            "_calls",
            "_closed",
            "_context",
            "_deltas",
            "_finish",
            "_id",
            "_index",
            "_lanes",
            "_last_call",
        ),
        *("_open", "_pieces", "_refusal", "_size", "_started", "usage"),
    )

    def __init__(self, context: Context, now: int = 0) -> None:
        self._context = context
        self._deltas = BETA_DELTAS if context.beta else DELTAS
        self._id = f"msg_{context.request_id}"
        self._started = self._closed = False
        self._refusal = ""
        self._finish: str | None = None
        self._index = -1
        self._open: _Lane | None = None
        self._lanes: deque[_Lane] = deque()
        self._calls = self._pieces = self._size = 0
        self._by_index: dict[int, _Lane] = {}
        self._by_id: dict[str, _Lane] = {}
        self._last_call: _Lane | None = None
        self.usage: Usage | None = None

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes:
        out: list[bytes] = []
        for name, data in events:
            if self._closed:
                break
            if data == b"[DONE]":
                self._end(out)
                break
            try:
                self._chunk(name, data, out)
            except UNREADABLE:
                if heartbeat(name, data):
                    continue
                raise UpstreamBadResponse("The provider sent an event that cannot be read.") from None
        return b"".join(out)

    def finish(self) -> bytes:
        """The body has ended. Some servers leave ``[DONE]`` out: a finish reason will do."""
        if self._closed:
            return b""
        if self._finish is None:
            return self.fail(UpstreamStreamBroken(), self._context.request_id)
        out: list[bytes] = []
        self._end(out)
        return b"".join(out)

    def fail(self, error: EdgeError, request_id: str) -> bytes:
        """An error of our own as the last thing one client is sent; others may go on."""
        if self._closed:
            return b""
        return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"

    def _chunk(self, name: bytes, data: bytes, out: list[bytes]) -> None:
        chunk = _decode(data)
        if name == b"error" or (chunk.error is not None and openai.error_of(data) is not None):
            error = chunk.error if chunk.error is not None else msgspec.json.decode(data)
            out.append(b"event: error\ndata: " + event_error(error, self._context.request_id) + b"\n\n")
            self._closed = True
            return
        if chunk.usage is not None:
            usage = openai.usage_of(data)
            if usage is not None:
                self.usage = usage if self.usage is None else self.usage.merged(usage)
        if not chunk.choices:
            return
        if not self._started:
            self._start(chunk, out)
        for choice in chunk.choices:
            if choice.index:
                continue  # another choice than the first was not asked for
            if choice.delta is not None:
                self._take(choice.delta, out)
            if choice.finish_reason:  # some servers say "" for null
                self._finish = choice.finish_reason

    def _take(self, delta: _Delta, out: list[bytes]) -> None:
        if reasoning := delta.reasoning_content or delta.reasoning:
            self._say(THOUGHT, text_of(reasoning), out)
        if delta.content:
            self._say(TEXT, text_of(delta.content), out)
        if delta.refusal:
            self._refusal += delta.refusal
            self._say(TEXT, delta.refusal, out)
        for call in delta.tool_calls or ():
            self._call(self._lane_of(call), call.id, call.function, out)
        if delta.function_call is not None:
            self._call(self._lane_of(_Call(index=0)), None, delta.function_call, out)

    def _start(self, chunk: _Chunk, out: list[bytes]) -> None:
        self._started = True
        self._id = chunk.id or self._id
        context = self._context
        # Counts come at the end, and some clients read these alone: they get an estimate.
        begun = self.usage if self.usage is not None and self.usage.input > 0 else Usage(context.estimated_input(), 0)
        usage = whole_usage(context, begun)
        started = message(context, self._id, chunk.model or context.model, [], usage)
        data = encode({"type": "message_start", "message": started})
        out.append(b"event: message_start\ndata: " + data + b"\n\n")

    def _say(self, kind: str, text: str, out: list[bytes]) -> None:
        if not text:
            return
        lane = self._open
        if lane is None or lane.kind != kind:
            waiting = self._lanes[-1] if self._lanes else None
            lane = waiting if waiting is not None and waiting.kind == kind else self._wait(_Lane(kind))
        self._put(lane, text, out)

    def _lane_of(self, call: _Call) -> _Lane:
        """The call a piece belongs to, a new one if it begins one."""
        if call.index is not None:
            lane = self._by_index.get(call.index)
        else:
            lane = self._by_id.get(call.id or "") or self._last_call
        if lane is None or self._begins_another(lane, call):
            lane = self._wait(_Lane(CALL, self._calls))
            self._calls += 1
        if call.index is not None:
            self._by_index[call.index] = lane
        if call.id:
            self._by_id.setdefault(call.id, lane)
        self._last_call = lane
        return lane

    @staticmethod
    def _begins_another(lane: _Lane, call: _Call) -> bool:
        name = call.function.name if call.function is not None else None
        if call.id and lane.id:
            return call.id != lane.id and bool(name or call.index is None)
        if not name or not lane.name:
            return False
        return name != lane.name or (call.index is None and lane.whole())

    def _call(self, lane: _Lane, call_id: str | None, function: _Function | None, out: list[bytes]) -> None:
        lane.id = lane.id or call_id or ""
        text = ""
        if function is not None:
            lane.name = lane.name or function.name or ""
            arguments = function.arguments
            text = arguments if isinstance(arguments, str) else encode(arguments).decode() if arguments else ""
        self._put(lane, text, out)

    def _wait(self, lane: _Lane) -> _Lane:
        self._lanes.append(lane)
        return lane

    def _put(self, lane: _Lane, text: str, out: list[bytes]) -> None:
        """Send `text` if its lane is open or may be opened; else let it wait."""
        if lane.closed:
            if text.strip():
                self._context.warnings.add("arguments")
            return
        if text and lane.kind == CALL:
            lane.pieces.append(text)
        if lane is not self._open:
            if text:
                lane.waiting.append(text)
            self._advance(out)
        elif text:
            self._send(lane, text, out)

    def _advance(self, out: list[bytes], *, last: bool = False) -> None:
        """Open lane after lane, in their order, as far as they may be. At the end all may."""
        while self._lanes:
            lane = self._lanes[0]
            if not last and (not lane.may_open() or (self._open is not None and not self._open.may_close())):
                return
            self._close(out)
            self._lanes.popleft()
            self._index += 1
            self._open = lane
            out.append(START % (self._index, STARTS.get(lane.kind) or self._tool_use(lane)))
            if lane.waiting:
                self._send(lane, "".join(lane.waiting), out)
                lane.waiting = []

    def _tool_use(self, lane: _Lane) -> bytes:
        call_id = lane.id or invented_id(self._id, lane.number)
        name = self._context.tool_names.get(lane.name, lane.name)
        return encode(tool_use_block(anthropic_id(call_id), name, {}))

    def _send(self, lane: _Lane, text: str, out: list[bytes]) -> None:
        data = _text(text)
        self._pieces += 1
        self._size += len(data) - 2
        out.append(DELTA % (self._index, self._deltas[lane.kind] % data))

    def _close(self, out: list[bytes]) -> None:
        lane = self._open
        if lane is None:
            return
        if lane.kind == CALL and arguments_object("".join(lane.pieces)) is None:
            self._context.warnings.add("arguments")  # cut off, as the stop reason will say
        if lane.kind == THOUGHT:
            out.append(DELTA % (self._index, SIGNATURE))
        out.append(STOP % self._index)
        lane.closed = True
        self._open = None

    def _end(self, out: list[bytes]) -> None:
        if not self._started:
            self._start(_Chunk(), out)
        self._advance(out, last=True)
        self._close(out)
        context = self._context
        ending = stopped(self._finish, context, calls=self._calls > 0, refusal=self._refusal)
        usage = context.counted(self.usage, lambda: written_by_gpt(self._size, self._pieces, self._calls))
        event = encode(delta_event(context, ending, delta_usage(context, usage)))
        out.append(b"event: message_delta\ndata: " + event + b"\n\n")
        out.append(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        self._closed = True
