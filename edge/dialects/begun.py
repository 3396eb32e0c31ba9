"""A text that a client has been sent the beginning of, as a stream of its API, and how that stream goes on.

`read_text` says what a client has been sent, if that is nothing but the beginning of a text. What it returns knows, for
its API, what another answer's events bring of text, and what belongs behind: the same message with the same ids and
indices, and one end.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge._fast import SSEDecoder
from edge.dialects.anthropic import MessagesStream
from edge.dialects.kept_response import KeptResponse
from edge.dialects.openai import ChatStream, error_of
from edge.dialects.responses_writer import ResponseWriter
from edge.dialects.stream import heartbeat, type_of
from edge.dialects.translation import Context, openai_usage
from edge.errors import UNREADABLE, EdgeError, UpstreamBadResponse
from edge.hooks import Usage

__all__ = ["Begun", "read_text"]

NO_TEXT = "The provider that was to go on with a text gave something else."


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


class _Item(msgspec.Struct):
    """An item of a response. A thought is shown in its ``summary`` or ``content``; its envelope thinks it again."""

    type: str = ""
    id: str = ""
    summary: Any = None
    content: Any = None
    encrypted_content: Any = None

    @property
    def silent(self) -> bool:
        """Whether it is a thought that nothing is known of."""
        return self.type == "reasoning" and not (self.summary or self.content or self.encrypted_content)


class _Part(msgspec.Struct):
    type: str = ""


class _Reason(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    incomplete_details: _Reason | None = None


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    sequence_number: int | None = None
    item: _Item | None = None
    part: _Part | None = None
    delta: Any = None
    logprobs: Any = None
    response: _Response | None = None


_chunk = msgspec.json.Decoder(_Chunk).decode
_event = msgspec.json.Decoder(_Event).decode
_response_event = msgspec.json.Decoder(_ResponseEvent).decode
_encode = msgspec.json.Encoder().encode


class Begun:
    """The ``text`` that a client has been sent, at the end of its stream so far. ``over``: another answer has come to
    its end, which `stopped` says before that.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.over = False
        self._stop: str | None = None

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

    @property
    def stopped(self) -> bool:
        return self._stop is not None

    def keeps(self, kept: KeptResponse | None) -> None:
        """Once it is whole, it is kept here as this, None for nothing: what no API but Responses knows."""

    def take(self, name: bytes, data: bytes) -> str:
        """What of text the next event of another answer brings. Raises UpstreamBadResponse for what is no text, and
        what `UNREADABLE` has.
        """
        raise NotImplementedError

    def more(self, text: str) -> bytes:
        """More of the text, for the client."""
        raise NotImplementedError

    def end(self, usage: Usage | None) -> bytes:
        """The end of the client's stream, which has used so much."""
        raise NotImplementedError

    def fails(self, name: bytes, data: bytes) -> bool:
        """Whether an event of another answer that has failed is the one that says so."""
        return name == b"error" or error_of(data) is not None

    def failed(self, name: bytes, data: bytes) -> bytes:
        """The other answer's event of an error, for the client."""
        return (b"event: " + name + b"\n" if name else b"") + b"data: " + data + b"\n\n"

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        """An error of our own as the last of the client's stream."""
        raise NotImplementedError


class _BegunChunks(Begun):
    """Chunks that all have the fields of `head`."""

    def __init__(self, text: str, head: dict[str, Any], include_usage: bool) -> None:
        super().__init__(text)
        self._head = head
        self._include_usage = include_usage

    @staticmethod
    def read(events: list[tuple[bytes, bytes]], include_usage: bool) -> Begun | None:
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
        return _BegunChunks("".join(said), head, include_usage)

    def take(self, name: bytes, data: bytes) -> str:
        if data == b"[DONE]":
            self.over = True
            return ""
        said = ""
        for choice in _chunk(data).choices or ():
            delta = choice.delta
            if choice.index:
                continue
            if delta is not None:
                if not delta.plain:
                    raise UpstreamBadResponse(NO_TEXT)
                said += delta.content or ""
            self._stop = choice.finish_reason or self._stop
        return said

    def more(self, text: str) -> bytes:
        return self._chunk({"content": text}, None)

    def end(self, usage: Usage | None) -> bytes:
        out = self._chunk({}, self._stop or "stop")
        if self._include_usage and usage is not None:
            last = {**self._head, "choices": [], "usage": openai_usage(usage, estimated=True)}
            out += b"data: " + _encode(last) + b"\n\n"
        return out + b"data: [DONE]\n\n"

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        return ChatStream().error_event(error, request_id)

    def _chunk(self, delta: dict[str, Any], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        last = {"usage": None} if self._include_usage else {}
        return b"data: " + _encode({**self._head, "choices": [choice], **last}) + b"\n\n"


class _BegunMessage(Begun):
    """A message whose text is the block at `index`."""

    def __init__(self, text: str, index: int) -> None:
        super().__init__(text)
        self._index = index
        self._stop_sequence: str | None = None

    @staticmethod
    def read(events: list[tuple[bytes, bytes]], include_usage: bool) -> Begun | None:
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
        return _BegunMessage("".join(said), index) if index >= 0 else None

    def take(self, name: bytes, data: bytes) -> str:
        event = _event(data)
        kind, delta = event.type or type_of(data).decode(), event.delta
        if kind == "content_block_start" and event.content_block is not None:
            if event.content_block.type != "text":
                raise UpstreamBadResponse(NO_TEXT)
            return event.content_block.text or ""
        if kind == "content_block_delta" and delta is not None:
            if delta.type != "text_delta":
                raise UpstreamBadResponse(NO_TEXT)
            return delta.text or ""
        if kind == "message_delta" and delta is not None:
            self._stop = delta.stop_reason or self._stop
            self._stop_sequence = delta.stop_sequence
        elif kind == "message_stop":
            self.over = True
        return ""

    def more(self, text: str) -> bytes:
        return _put("content_block_delta", {"index": self._index, "delta": {"type": "text_delta", "text": text}})

    def end(self, usage: Usage | None) -> bytes:
        delta = {"stop_reason": self._stop or "end_turn", "stop_sequence": self._stop_sequence}
        ends = _put("content_block_stop", {"index": self._index})
        return ends + _put("message_delta", {"delta": delta, "usage": told(usage)}) + _put("message_stop", {})

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        return MessagesStream().error_event(error, request_id)


class _BegunResponse(Begun):
    """A response whose last item is a message with the text in its only part, written on by `writer`."""

    def __init__(self, text: str, writer: ResponseWriter) -> None:
        super().__init__(text)
        self._writer = writer

    @staticmethod
    def read(events: list[tuple[bytes, bytes]], include_usage: bool) -> Begun | None:
        said: list[str] = []
        items: list[dict[str, Any]] = []
        head: dict[str, Any] | None = None
        message, parts, sequence = "", 0, 0
        for _, data in events:
            event = _response_event(data)
            kind, item = event.type, event.item
            sequence = (event.sequence_number if event.sequence_number is not None else sequence) + 1
            if kind == "response.created":
                head = msgspec.json.decode(data)["response"]
            elif kind == "response.output_item.added" and item is not None and not message:
                if item.type == "message":
                    message = item.id or "msg"
                elif not item.silent:
                    return None
            elif kind == "response.output_item.done" and item is not None and item.silent:
                items.append(msgspec.json.decode(data)["item"])
            elif kind == "response.content_part.added" and event.part is not None and not parts:
                if event.part.type != "output_text":
                    return None
                parts = 1
            elif kind == "response.output_text.delta" and isinstance(event.delta, str) and not event.logprobs:
                said.append(event.delta)
            elif kind not in ("response.in_progress", "response.queued") and not heartbeat(kind.encode(), data):
                return None
        if not (isinstance(head, dict) and message and parts):
            return None
        text = "".join(said)
        writer = ResponseWriter(Context(), 0, True)
        writer.resume(head, items, message, text, sequence)
        return _BegunResponse(text, writer)

    def keeps(self, kept: KeptResponse | None) -> None:
        self._writer.keeps(kept)

    def take(self, name: bytes, data: bytes) -> str:
        event = _response_event(data)
        kind, item = event.type, event.item
        if kind == "response.output_text.delta":
            if event.logprobs or not isinstance(event.delta, str):
                raise UpstreamBadResponse(NO_TEXT)
            return event.delta
        if kind in ("response.output_item.added", "response.output_item.done") and item is not None:
            if item.type != "message" and not item.silent:
                raise UpstreamBadResponse(NO_TEXT)
        elif kind.endswith(".delta") or kind == "response.output_text.annotation.added":
            raise UpstreamBadResponse(NO_TEXT)
        elif kind in ("response.completed", "response.incomplete"):
            details = event.response.incomplete_details if event.response is not None else None
            self._stop = (details.reason if details is not None else None) or ""
            self.over = True
        return ""

    def more(self, text: str) -> bytes:
        self._writer.text(text)
        return self._writer.taken()

    def end(self, usage: Usage | None) -> bytes:
        self._writer.end(usage, self._stop or "", estimated=True)
        return self._writer.taken()

    def fails(self, name: bytes, data: bytes) -> bool:
        kind = _response_event(data).type.encode() or name
        return kind in (b"error", b"response.failed")  # each response has a field for an error

    def failed(self, name: bytes, data: bytes) -> bytes:
        event: dict[str, Any] = msgspec.json.decode(data)
        error = event.get("error") or (event.get("response") or {}).get("error") or event
        self._writer.fail(str(error.get("code") or error.get("type") or ""), str(error.get("message") or ""))
        return self._writer.taken()

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        return self._writer.failure(error, request_id)


READ = {"chat": _BegunChunks.read, "messages": _BegunMessage.read, "responses": _BegunResponse.read}


def read_text(api: str, data: bytes, *, include_usage: bool = False) -> Begun | None:
    """What a stream of ``Route.api`` `api` has said so far, in whole events; None where it has said anything but text,
    nothing, or its end. `include_usage`: its client wants a chunk with what it used.
    """
    try:
        return READ[api](SSEDecoder().feed(data), include_usage)
    except (*UNREADABLE, KeyError, TypeError):
        return None


def _put(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **fields}) + b"\n\n"


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
