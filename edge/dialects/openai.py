"""OpenAI's format: errors, usage, and the streams of chat completions and completions.

Shapes from openai-python's types (``types/chat/chat_completion_chunk.py``, ``types/completion_usage.py``) and the error
envelope its ``_exceptions.py`` reads.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge._fast import UsualAnswer, chunk_marks
from edge._fast.answer_forms import (
    AUDIO_INPUT,
    AUDIO_OUTPUT,
    CACHED,
    IMAGE_INPUT,
    IMAGE_OUTPUT,
    INPUT,
    OUTPUT,
    REASONING,
    WRITTEN,
)
from edge.dialects.estimate import written_by_gpt
from edge.dialects.stream import Stream, count, heartbeat, one_line
from edge.errors import UNREADABLE, EdgeError
from edge.hooks import Usage

__all__ = ["ChatStream", "CompletionsStream", "OtherStream", "error_body", "usage_counted", "usage_of"]

TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "rate_limit_error"}
STATUS = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "tokens": 429,
    "requests": 429,
    "billing_hard_limit_reached": 429,
    "server_error": 500,
    "api_error": 500,
    "overloaded": 503,
    "overloaded_error": 503,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "service_unavailable": 503,
    "timeout": 504,
    "timeout_error": 504,
}


ERROR, USAGE, ENDING = 1, 2, 4
"""Marks of a chunk (`edge._fast.chunk_marks`). Once content has come, one is worth decoding that has an end, or another
choice than the first."""


class _WriteDetails(msgspec.Struct):
    ttl_30m_tokens: int | None = None
    ttl_12h_tokens: int | None = None


class _BareDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Details(_BareDetails):
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cache_write_tokens_details: _WriteDetails | None = None


class _Counts(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _BareUsage(_Counts):
    prompt_tokens_details: _BareDetails | None = None
    completion_tokens_details: _BareDetails | None = None
    input_tokens_details: _BareDetails | None = None
    output_tokens_details: _BareDetails | None = None


class _Usage(_Counts):
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Searches(msgspec.Struct):
    num_requests: int | None = None


class _ToolUsage(msgspec.Struct):
    web_search: _Searches | None = None


class _Action(msgspec.Struct):
    type: str | None = None


class _Item(msgspec.Struct):
    type: str | None = None
    action: _Action | None = None


class _Body(msgspec.Struct):
    """``tool_usage`` and ``output`` are those of a response (``types/responses/response.py``)."""

    usage: _Usage | None = None
    service_tier: str | None = None
    tool_usage: _ToolUsage | None = None
    output: list[_Item] | None = None


class _BareBody(msgspec.Struct):
    """What is left to read where the details are of a kind that nobody knows."""

    usage: _BareUsage | None = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_bare = msgspec.json.Decoder(_BareBody).decode
_decode_any = msgspec.json.Decoder().decode
NO_ERROR = (*UNREADABLE, AttributeError)
NO_CHUNK = (*UNREADABLE, AttributeError, TypeError)
NO_DETAILS = _Details()
_known_bodies: dict[str, tuple[str, int, bytes]] = {}
"""Error bodies by message: a flood of refusals says the same again and again."""
MAX_KNOWN = 256


def error_type(status: int) -> str:
    return TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")


def error_body(error: EdgeError) -> bytes:
    """``{"error": {message, type, param, code}}``."""
    body = _known_bodies.get(error.message) if error.param is None else None
    if body is None or body[0] != error.code or body[1] != error.status:
        body = (error.code, error.status, _error_body(error))
        if error.param is None and len(_known_bodies) < MAX_KNOWN:
            _known_bodies[error.message] = body
    return body[2]


def _error_body(error: EdgeError) -> bytes:
    return msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": error_type(error.status),
                "param": error.param,
                "code": error.code,
            }
        }
    )


def usage_of(body: bytes) -> Usage | None:
    """The usage a complete answer or one event reports, in either spelling (chat's or responses')."""
    try:
        return usage_in(_decode_body(body))
    except UNREADABLE:
        pass
    try:
        usage = _decode_bare(body).usage
    except UNREADABLE:
        return None
    return None if usage is None else Usage(*_counts(usage))


def usage_counted(found: UsualAnswer) -> Usage:
    """The usage of an answer that was read as a usual one."""
    asked, cached, written = found.count(INPUT), max(0, found.count(CACHED)), max(0, found.count(WRITTEN))
    usage = Usage.__new__(Usage)
    usage.input = asked if asked < 0 else max(0, asked - cached - written)
    usage.output = found.count(OUTPUT)
    usage.cache_read, usage.cache_write = cached, written
    usage.reasoning = found.count(REASONING)
    usage.cache_write_long = usage.web_searches = 0
    usage.audio_input, usage.audio_output = max(0, found.count(AUDIO_INPUT)), max(0, found.count(AUDIO_OUTPUT))
    usage.image_input, usage.image_output = max(0, found.count(IMAGE_INPUT)), max(0, found.count(IMAGE_OUTPUT))
    usage.service_tier = found.tier
    usage.speed = usage.geo = ""
    usage.parts = ()
    return usage


def tier_of(body: bytes) -> str:
    """The ``service_tier`` of an answer or a chunk, "" if it has none."""
    try:
        return _decode_body(body).service_tier or ""
    except UNREADABLE:
        return ""


def usage_in(body: _Body) -> Usage | None:
    """The usage of a decoded answer, chunk or response."""
    usage = body.usage
    if usage is None:
        return None
    details = usage.prompt_tokens_details or usage.input_tokens_details or NO_DETAILS
    more = usage.completion_tokens_details or usage.output_tokens_details or NO_DETAILS
    writes = details.cache_write_tokens_details
    long = short = 0
    if writes is not None:
        long, short = max(0, count(writes.ttl_12h_tokens)), max(0, count(writes.ttl_30m_tokens))
    return Usage(
        *_counts(usage, long + short),
        long,
        max(0, count(details.audio_tokens)) if details.audio_tokens else 0,
        max(0, count(more.audio_tokens)) if more.audio_tokens else 0,
        max(0, count(details.image_tokens)) if details.image_tokens else 0,
        max(0, count(more.image_tokens)) if more.image_tokens else 0,
        _searches(body) if body.tool_usage is not None or body.output else 0,
        body.service_tier or "",
    )


def _counts(usage: _Usage | _BareUsage, written: int = 0) -> tuple[int, int, int, int, int]:
    """The first five counts of a `Usage`. OpenAI counts cached tokens inside the prompt, that counts them apart.
    `written` is the least that was written to the cache.
    """
    prompt = usage.prompt_tokens if usage.prompt_tokens is not None else usage.input_tokens
    output = usage.completion_tokens if usage.completion_tokens is not None else usage.output_tokens
    details = usage.prompt_tokens_details or usage.input_tokens_details or NO_DETAILS
    more = usage.completion_tokens_details or usage.output_tokens_details
    cached = details.cached_tokens or 0
    written = max(details.cache_write_tokens or 0, written)
    return (
        -1 if prompt is None else count(max(0, prompt - cached - written)),
        count(output),
        count(cached) if cached else 0,
        count(written) if written else 0,
        count(more.reasoning_tokens) if more is not None else -1,
    )


def _searches(body: _Body) -> int:
    """Searches of the web that are billed: as counted, else the calls of a response that searched. Opening a page or
    looking for something in it is none.
    """
    tools = body.tool_usage
    if tools is not None and tools.web_search is not None:
        return max(0, count(tools.web_search.num_requests))
    calls = [item for item in body.output or () if item.type == "web_search_call"]
    return sum(1 for call in calls if call.action is None or call.action.type in (None, "search"))


def error_of(data: bytes) -> dict[str, Any] | None:
    """The ``error`` object of an event or a body, None for one that reports none. Some servers give the error itself,
    which calls itself so: ``{"object": "error", "message", "type", "code"}``.
    """
    try:
        decoded = _decode_any(data)
        error = decoded.get("error")
    except NO_ERROR:
        return None
    if not error:
        return decoded if decoded.get("object") == "error" or decoded.get("type") == "error" else None
    return error if isinstance(error, dict) else {"message": error}


def has_envelope(data: bytes) -> bool:
    """Whether the ``error`` of a body that has one is where clients look for its message."""
    return isinstance(_decode_any(data).get("error"), dict)


def envelope_of(error: dict[str, Any], status: int) -> bytes:
    """An ``error`` object of a provider in the envelope that OpenAI's clients read."""
    message = error.get("message")
    fields = {
        "message": message if isinstance(message, str) else "The provider reported an error.",
        "type": error_type(status),
        "param": error.get("param"),
        "code": error.get("code"),
    }
    return msgspec.json.encode({"error": fields})


def status_of(error: dict[str, Any]) -> int:
    """The HTTP status that goes with an error object: by its code, else its type, else 502."""
    for key in ("code", "type", "status"):
        value = error.get(key)
        if isinstance(value, str) and len(value) == 3 and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
        if isinstance(value, str) and value in STATUS:
            return STATUS[value]
    return 502


class OtherStream(Stream):
    """A stream whose events mean nothing to us: each that is no error is content, and the end of the HTTP body is the
    end.
    """

    __slots__ = ()

    def event(self, name: bytes, data: bytes) -> None:
        if name == b"error" or (not self.content and b'"error"' in data and error_of(data) is not None):
            self.failed = True
            self.error_data = data
        elif not heartbeat(name, data):
            self.content = True

    def complete_at_end(self) -> bool:
        return self.content

    def refusal(self, data: bytes) -> tuple[int, bytes]:
        error = error_of(data)
        status = status_of(error or {})
        if error is None or has_envelope(data):
            return status, data
        return status, envelope_of(error, status)

    def refusal_event(self, body: bytes) -> bytes:
        return b"data: " + one_line(body) + b"\n\n" if error_of(body) is not None else b""

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        return b"data: " + error_body(error) + b"\n\n"


class ChatStream(OtherStream):
    """``chat.completion.chunk`` events, ended by ``data: [DONE]``."""

    __slots__ = ("_open_choices",)

    def __init__(self) -> None:
        super().__init__()
        self._open_choices: dict[Any, bool] = {}

    def event(self, name: bytes, data: bytes) -> None:
        if data == b"[DONE]":
            self.finished = True
            self.content = self.content or bool(self._open_choices)
            return
        marks = chunk_marks(data)
        if name == b"error" or (marks & ERROR and error_of(data) is not None):
            self.failed = True
            self.error_data = data
            return
        usage = usage_of(data) if marks & USAGE else None
        if usage is not None:
            self.add_usage(usage)
        elif self.content and not marks & ENDING:
            self.deltas += 1
            self.size += len(data)
            self.plain = not marks & USAGE or b'"usage":null' in data or b'"usage": null' in data
            return
        self.opening = self.opening or data
        for choice in self._choices(data):
            index = choice.get("index")
            ended = bool(choice.get("finish_reason"))
            if ended:
                self.closing = data
            self._open_choices[index if isinstance(index, int) else 0] = not ended
            says = self._says_something(choice)
            if says:
                self.deltas += 1
                self.size += len(data)
                self.sample = self.sample or data
            self.content = self.content or ended or says

    def complete_at_end(self) -> bool:
        """Some compatible servers leave ``[DONE]`` out: it will do that every choice has its finish reason."""
        return self.finished or (bool(self._open_choices) and not any(self._open_choices.values()))

    def estimate(self, model: str) -> int:
        return written_by_gpt(self.written(), self.deltas, self.calls)

    def reported(self) -> Usage | None:
        """Each chunk names the service tier; without a usage, the first content has to tell it."""
        if self.usage is None and self.sample and (tier := tier_of(self.sample)):
            return Usage(service_tier=tier)
        return self.usage

    @staticmethod
    def _choices(data: bytes) -> list[dict[str, Any]]:
        try:
            chunk = _decode_any(data)
            choices = chunk.get("choices")
            return [choice for choice in choices or [] if isinstance(choice, dict)]
        except NO_CHUNK:
            return []

    def _says_something(self, choice: dict[str, Any]) -> bool:
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return False
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            self.calls += sum(1 for call in calls if isinstance(call, dict) and call.get("id"))
        return any(value for key, value in delta.items() if key != "role")


class CompletionsStream(ChatStream):
    """``text_completion`` events: a choice carries its text itself."""

    __slots__ = ()

    def _says_something(self, choice: dict[str, Any]) -> bool:
        return bool(choice.get("text"))
