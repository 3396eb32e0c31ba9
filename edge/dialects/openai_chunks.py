"""Chunks of OpenAI's chat completions, read for an API in which what an answer consists of comes in turns.

Shapes: openai-python ``types/chat/chat_completion_chunk.py``.

The blocks of Anthropic's messages, and the items of Responses, follow each other: one is open at a time, and it is
closed before the next one opens. OpenAI's calls of tools may come in turns. So each text, each thought and each call is
a lane:

    lane           is opened                                    may be closed for another lane
    text, refusal  by its first content                         at any time
    thought        by its first content                         at any time
    call           by its id and its name, both known           once its arguments are a whole JSON object

What comes for another lane while the open one may not be closed waits in it, till then or till the end.
Servers that give calls no index, or all of them the same, tell them apart by their ids, and without ids by their names.
What a stream ends with waits for the counts, which OpenAI sends last.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Any

import msgspec

from edge.dialects import openai
from edge.dialects.openai_to_anthropic_answer import text_of
from edge.dialects.stream import heartbeat
from edge.dialects.stream_reader import UNREADABLE_EVENT, StreamReader, Writer
from edge.dialects.translation import Context, arguments_object, encode
from edge.errors import UNREADABLE, UpstreamBadResponse

__all__ = ["CALL", "REFUSAL", "TEXT", "THOUGHT", "Chunk", "ChunkTranslator", "Lane"]

TEXT, REFUSAL, THOUGHT, CALL = "text", "refusal", "thinking", "tool_use"


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    custom: Any = None


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: str | None = None
    annotations: Any = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(Chunk).decode

MAX_LOOKS = 16
"""How often the arguments of one call are read to see whether they are whole: more than any sound stream needs."""


class Lane:
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


class ChunkTranslator(StreamReader):
    """``_calls`` counts the calls of tools."""

    __slots__ = (*("_by_id", "_by_index", "_calls", "_finish", "_id", "_lanes", "_last_call", "_open", "_started"),)

    def __init__(self, context: Context, writer: Writer) -> None:
        super().__init__(context, writer)
        self._id = ""
        self._started = False
        self._finish: str | None = None
        self._open: Lane | None = None
        self._lanes: deque[Lane] = deque()
        self._by_index: dict[int, Lane] = {}
        self._by_id: dict[str, Lane] = {}
        self._last_call: Lane | None = None
        self._calls = 0

    # What is made of it.

    @abstractmethod
    def _start(self, chunk: Chunk) -> None:
        """The first chunk of an answer has come."""

    @abstractmethod
    def _opened(self, lane: Lane) -> None: ...

    @abstractmethod
    def _send(self, lane: Lane, text: str) -> None:
        """More of the lane that is open."""

    @abstractmethod
    def _ended(self, lane: Lane) -> None:
        """The lane that was open is closed."""

    @abstractmethod
    def _end(self) -> None:
        """All lanes are closed, and nothing more will come."""

    @abstractmethod
    def _error(self, error: Any) -> None:
        """The provider has broken off with an ``error``."""

    def _refused(self, text: str) -> None:
        self._say(REFUSAL, text)

    @abstractmethod
    def _cited(self, annotations: Any) -> None:
        """Citations of the text."""

    # How it is read.

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes:
        for name, data in events:
            if self._closed:
                break
            if data == b"[DONE]":
                self._end_all()
                break
            try:
                self._chunk(name, data)
            except UNREADABLE:
                if heartbeat(name, data):
                    continue
                raise UpstreamBadResponse(UNREADABLE_EVENT) from None
        return self._writer.taken()

    def again(self, text: str) -> bytes:
        self.latest = text
        self._say(TEXT, text)
        return self._writer.taken()

    def finish(self) -> bytes:
        """The body has ended. Some servers leave ``[DONE]`` out: a finish reason will do."""
        if self._closed:
            return b""
        if self._finish is None:
            return super().finish()
        self._end_all()
        return self._writer.taken()

    def _chunk(self, name: bytes, data: bytes) -> None:
        self.latest = ""
        chunk = _decode(data)
        if name == b"error" or (chunk.error is not None and openai.error_of(data) is not None):
            self._error(chunk.error if chunk.error is not None else msgspec.json.decode(data))
            self._closed = True
            return
        if chunk.usage is not None:
            self._count(openai.usage_of(data))
        if not chunk.choices:
            return
        if not self._started:
            self._begin(chunk)
        for choice in chunk.choices:
            if choice.index:
                continue  # another choice than the first was not asked for
            if choice.delta is not None:
                self._take(choice.delta)
            if choice.finish_reason:  # some servers say "" for null
                self._finish = choice.finish_reason
        if len(chunk.choices) == 1 and chunk.usage is None:
            self.latest = self._only_text(chunk.choices[0])

    def _only_text(self, choice: _Choice) -> str:
        """The text of a choice that has nothing else, and has gone out; else ""."""
        delta, lane = choice.delta, self._open
        if choice.index or choice.finish_reason or delta is None or lane is None or lane.kind != TEXT:
            return ""
        beside = (delta.reasoning_content, delta.reasoning, delta.annotations, delta.refusal)
        if any(beside) or delta.tool_calls or delta.function_call is not None or not isinstance(delta.content, str):
            return ""
        return delta.content

    def _begin(self, chunk: Chunk) -> None:
        self._started = True
        self._id = chunk.id or self._id
        self._start(chunk)

    def _take(self, delta: _Delta) -> None:
        if reasoning := delta.reasoning_content or delta.reasoning:
            self._say(THOUGHT, text_of(reasoning))
        if delta.content:
            self._say(TEXT, text_of(delta.content))
        if delta.annotations:
            self._cited(delta.annotations)
        if delta.refusal:
            self._refused(delta.refusal)
        for call in delta.tool_calls or ():
            if call.custom is not None:
                self._context.warnings.add("tool_call")  # of a kind that no request has named
                continue
            self._call(self._lane_of(call), call.id, call.function)
        if delta.function_call is not None:
            self._call(self._lane_of(_Call(index=0)), None, delta.function_call)

    def _say(self, kind: str, text: str) -> None:
        if not text:
            return
        lane = self._open
        if lane is None or lane.kind != kind:
            waiting = self._lanes[-1] if self._lanes else None
            lane = waiting if waiting is not None and waiting.kind == kind else self._wait(Lane(kind))
        self._put(lane, text)

    def _lane_of(self, call: _Call) -> Lane:
        """The call a piece belongs to, a new one if it begins one."""
        if call.index is not None:
            lane = self._by_index.get(call.index)
        else:
            lane = self._by_id.get(call.id or "") or self._last_call
        if lane is None or self._begins_another(lane, call):
            lane = self._wait(Lane(CALL, self._calls))
            self._calls += 1
        if call.index is not None:
            self._by_index[call.index] = lane
        if call.id:
            self._by_id.setdefault(call.id, lane)
        self._last_call = lane
        return lane

    @staticmethod
    def _begins_another(lane: Lane, call: _Call) -> bool:
        name = call.function.name if call.function is not None else None
        if call.id and lane.id:
            return call.id != lane.id and bool(name or call.index is None)
        if not name or not lane.name:
            return False
        return name != lane.name or (call.index is None and lane.whole())

    def _call(self, lane: Lane, call_id: str | None, function: _Function | None) -> None:
        lane.id = lane.id or call_id or ""
        text = ""
        if function is not None:
            lane.name = lane.name or function.name or ""
            arguments = function.arguments
            text = arguments if isinstance(arguments, str) else encode(arguments).decode() if arguments else ""
        self._put(lane, text)

    def _wait(self, lane: Lane) -> Lane:
        self._lanes.append(lane)
        return lane

    def _put(self, lane: Lane, text: str) -> None:
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
            self._advance()
        elif text:
            self._send(lane, text)

    def _advance(self, *, last: bool = False) -> None:
        """Open lane after lane, in their order, as far as they may be. At the end all may."""
        while self._lanes:
            lane = self._lanes[0]
            if not last and (not lane.may_open() or (self._open is not None and not self._open.may_close())):
                return
            self._close()
            self._lanes.popleft()
            self._open = lane
            self._opened(lane)
            if lane.waiting:
                self._send(lane, "".join(lane.waiting))
                lane.waiting = []

    def _close(self) -> None:
        lane = self._open
        if lane is None:
            return
        if lane.kind == CALL and arguments_object("".join(lane.pieces)) is None:
            self._context.warnings.add("arguments")  # cut off, as the stop reason will say
        lane.closed = True
        self._open = None
        self._ended(lane)

    def _end_all(self) -> None:
        if not self._started:
            self._begin(Chunk())
        self._advance(last=True)
        self._close()
        self._end()
        self._closed = True
