"""A text that one provider has begun and another goes on with, as one stream of the client's dialect.

`read_text` says what a client has been sent, if that is nothing but the beginning of a text. A :class:`Continued`
crossing asks a provider to go on with it, and makes of its events what belongs behind: the same message with the same
indices, and one end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from edge._fast import SSEDecoder
from edge.dialects.crossing import Crossing, stream_of
from edge.dialects.stream import Stream, type_of
from edge.dialects.translation import openai_usage
from edge.errors import UNREADABLE, EdgeError, UpstreamBadResponse
from edge.hooks import Usage

__all__ = ["Begun", "Continued", "read_text"]

NO_TEXT = "The provider that was to go on with a text gave something else."
VLLM = b'{"continue_final_message":true,"add_generation_prompt":false,'
"""vLLM's and SGLang's way: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html."""


class _Delta(msgspec.Struct):
    """Of a chunk, or of an event: what there may be beside text."""

    type: str = ""
    content: str | None = None
    text: str | None = None
    tool_calls: Any = None
    function_call: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    annotations: Any = None
    audio: Any = None
    thinking_blocks: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None

    @property
    def plain(self) -> bool:
        """Whether there is nothing but text."""
        beside = (self.tool_calls, self.function_call, self.reasoning_content, self.reasoning, self.refusal)
        return not any((*beside, self.annotations, self.audio, self.thinking_blocks))


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    error: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: _Delta | None = None


_chunk = msgspec.json.Decoder(_Chunk).decode
_event = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Begun:
    """What a client has been sent: the ``text`` of it, in a block that is the ``index``-th, by chunks that all have the
    fields of ``head``.
    """

    api: str
    text: str
    index: int = 0
    head: dict[str, Any] | None = None

    @property
    def given(self) -> str:
        """What a provider is given to go on with: Anthropic refuses a text that ends in white space, and templates of
        other models leave that out.
        """
        return self.text.rstrip()

    @property
    def space(self) -> str:
        """The white space at its end, with which a provider may begin, and which the client has."""
        return self.text[len(self.given) :]


def read_text(api: str, data: bytes) -> Begun | None:
    """What a stream of ``Route.api`` `api` has said so far, in whole events; None where it has said anything but text,
    nothing, or its end.
    """
    decoder = SSEDecoder()
    try:
        events = decoder.feed(data)
        return _read_chunks(events) if api == "chat" else _read_message(events)
    except UNREADABLE:
        return None


def _read_chunks(events: list[tuple[bytes, bytes]]) -> Begun | None:
    said: list[str] = []
    first = b""
    for _, data in events:
        chunk = _chunk(data)
        if chunk.error is not None:
            return None
        for choice in chunk.choices or ():
            delta = choice.delta
            if choice.index or choice.finish_reason or choice.logprobs or (delta is not None and not delta.plain):
                return None
            first = first or data
            if delta is not None and delta.content:
                said.append(delta.content)
    if not first:
        return None
    head: dict[str, Any] = msgspec.json.decode(first)
    for name in ("choices", "usage"):
        head.pop(name, None)
    return Begun("chat", "".join(said), 0, head)


def _read_message(events: list[tuple[bytes, bytes]]) -> Begun | None:
    said: list[str] = []
    index = -1
    for _, data in events:
        event = _event(data)
        kind, delta = event.type, event.delta
        if kind == "content_block_start" and event.content_block is not None and index < 0:
            if event.content_block.type != "text":
                return None
            index = event.index
            said.append(event.content_block.text or "")
        elif kind == "content_block_delta" and delta is not None and delta.type == "text_delta":
            said.append(delta.text or "")
        elif kind not in ("message_start", "ping"):
            return None
    return Begun("messages", "".join(said), index) if index >= 0 else None


class Continued(Crossing):
    """The crossing of a request that has ``begun`` at its end, and the rest of the client's stream. `inner` is that
    request's own crossing, `before` the tokens of what was asked so far; `who` goes on with it.
    """

    def __init__(
        self, inner: Crossing, begun: Begun, before: Usage | None, *, include_usage: bool, who: str, vllm: bool
    ) -> None:
        self._inner = inner
        self._begun = begun
        self._before = before
        self._include_usage = include_usage
        self._who = who
        self._route = inner._route
        self.path, self.asked, self.dropped = inner.path, inner.asked, inner.dropped
        self.body = VLLM + inner.body.lstrip()[1:] if vllm and begun.given else inner.body
        self.stream = None
        self.translates = self.prepared = True
        self._decoder = SSEDecoder()
        self._space = begun.space
        self._stop: str | None = None
        self._stop_sequence: str | None = None
        self._over = False

    def warnings(self) -> frozenset[str]:
        return self._inner.warnings()

    def estimated_input(self) -> int:
        return self._inner.estimated_input()

    def begin_stream(self) -> Stream:
        stream = self.stream = self._inner.begin_stream()
        return stream

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes:
        """Raises UpstreamBadResponse for what is no text."""
        if self._inner.translates:
            events = self._decoder.feed(self._inner.feed(events) or b"")
        out: list[bytes] = []
        take = self._take_chunk if self._begun.api == "chat" else self._take_event
        for name, data in events:
            if self._over:
                break
            if self._stream.failed and (name == b"error" or b'"error"' in data):
                self._over = True
                out.append((b"event: " + name + b"\n" if name else b"") + b"data: " + data + b"\n\n")
                break
            try:
                take(name, data, out)
            except UNREADABLE:
                raise UpstreamBadResponse("The provider sent an event that cannot be read.") from None
        return b"".join(out)

    def finish(self) -> bytes:
        out: list[bytes] = []
        if not self._over and self._stop is not None:
            self._end(out)
        return b"".join(out)

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        return stream_of(self._route).error_event(error, request_id)

    def _take_chunk(self, name: bytes, data: bytes, out: list[bytes]) -> None:
        if data == b"[DONE]":
            self._end(out)
            return
        for choice in _chunk(data).choices or ():
            delta = choice.delta
            if choice.index:
                continue
            if delta is not None:
                if not delta.plain:
                    raise UpstreamBadResponse(NO_TEXT)
                self._say(delta.content, out)
            self._stop = choice.finish_reason or self._stop

    def _take_event(self, name: bytes, data: bytes, out: list[bytes]) -> None:
        event = _event(data)
        kind, delta = event.type or type_of(data).decode(), event.delta
        if kind == "content_block_start" and event.content_block is not None:
            if event.content_block.type != "text":
                raise UpstreamBadResponse(NO_TEXT)
            self._say(event.content_block.text, out)
        elif kind == "content_block_delta" and delta is not None:
            if delta.type != "text_delta":
                raise UpstreamBadResponse(NO_TEXT)
            self._say(delta.text, out)
        elif kind == "message_delta" and delta is not None:
            self._stop = delta.stop_reason or self._stop
            self._stop_sequence = delta.stop_sequence
        elif kind == "message_stop":
            self._end(out)

    def _say(self, text: str | None, out: list[bytes]) -> None:
        """The next of the text, without the space that the client has already."""
        if not text:
            return
        while self._space:
            if not text:
                return
            if text[0] != self._space[0]:
                self._space = ""
                break
            text, self._space = text[1:], self._space[1:]
        if not text:
            return
        if self._begun.api == "chat":
            self._chunk({"content": text}, None, out)
        else:
            delta = {"type": "text_delta", "text": text}
            self._put("content_block_delta", {"index": self._begun.index, "delta": delta}, out)

    def _chunk(self, delta: dict[str, Any], finish: str | None, out: list[bytes]) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        last = {"usage": None} if self._include_usage else {}
        out.append(b"data: " + _encode({**(self._begun.head or {}), "choices": [choice], **last}) + b"\n\n")

    def _put(self, kind: str, fields: dict[str, Any], out: list[bytes]) -> None:
        out.append(b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **fields}) + b"\n\n")

    def _end(self, out: list[bytes]) -> None:
        self._over = True
        after = self._stream.reported()
        usage = after if self._before is None else self._before if after is None else self._before.plus(after)
        if self._begun.api == "chat":
            self._chunk({}, self._stop or "stop", out)
            if self._include_usage and usage is not None:
                last = {**(self._begun.head or {}), "choices": [], "usage": openai_usage(usage, estimated=True)}
                out.append(b"data: " + _encode(last) + b"\n\n")
            out.append(b"data: [DONE]\n\n")
        else:
            self._put("content_block_stop", {"index": self._begun.index}, out)
            delta = {"stop_reason": self._stop or "end_turn", "stop_sequence": self._stop_sequence}
            self._put("message_delta", {"delta": delta, "usage": told(usage)}, out)
            self._put("message_stop", {}, out)
        out.append(b": continued by " + self._who.encode("ascii", "replace") + b"\n")


def told(usage: Usage | None) -> dict[str, int]:
    """The counts at the end of a message."""
    if usage is None:
        return {"output_tokens": 0}
    return {
        "input_tokens": max(0, usage.input),
        "cache_creation_input_tokens": max(0, usage.cache_write),
        "cache_read_input_tokens": max(0, usage.cache_read),
        "output_tokens": max(0, usage.output),
    }
