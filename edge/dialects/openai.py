"""OpenAI's format: errors, usage, and the streams of chat completions and completions.

Shapes from openai-python's types (``types/chat/chat_completion_chunk.py``, ``types/completion_usage.py``) and the error
envelope its ``_exceptions.py`` reads.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from edge.dialects.estimate import written_by_gpt
from edge.dialects.stream import Stream, count
from edge.errors import EdgeError
from edge.hooks import Usage

__all__ = ["ChatStream", "CompletionsStream", "OtherStream", "error_body", "model_list", "usage_of"]

TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "rate_limit_error"}
STATUS = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "tokens": 429,
    "requests": 429,
    "server_error": 500,
    "overloaded": 503,
    "service_unavailable": 503,
    "timeout": 504,
}


ENDING = re.compile(rb'"finish_reason"\s*:\s*"|"index"\s*:\s*[1-9]')
"""What makes a chunk worth decoding once content has come: an end, or another choice than the first."""


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Body(msgspec.Struct):
    usage: _Usage | None = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_any = msgspec.json.Decoder().decode
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
        usage = _decode_body(body).usage
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if usage is None else normalised(usage)


def normalised(usage: _Usage) -> Usage:
    """OpenAI counts cached tokens inside the prompt; `Usage` counts them apart."""
    prompt = usage.prompt_tokens if usage.prompt_tokens is not None else usage.input_tokens
    output = usage.completion_tokens if usage.completion_tokens is not None else usage.output_tokens
    details = usage.prompt_tokens_details or usage.input_tokens_details
    more = usage.completion_tokens_details or usage.output_tokens_details
    cached = details.cached_tokens or 0 if details is not None else 0
    written = details.cache_write_tokens or 0 if details is not None else 0
    return Usage(
        -1 if prompt is None else count(max(0, prompt - cached - written)),
        count(output),
        count(cached) if cached else 0,
        count(written) if written else 0,
        count(more.reasoning_tokens) if more is not None else -1,
    )


def error_of(data: bytes) -> dict[str, Any] | None:
    """The ``error`` object of an event, None for an event that reports none."""
    try:
        error = _decode_any(data).get("error")
    except (msgspec.DecodeError, AttributeError, RecursionError):
        return None
    return error if isinstance(error, dict) else {"message": error} if error else None


def status_of(error: dict[str, Any]) -> int:
    """The HTTP status that goes with an error object: by its code, else its type, else 502."""
    for key in ("code", "type", "status"):
        value = error.get(key)
        if isinstance(value, int) and 400 <= value < 600:
            return value
        if isinstance(value, str) and value in STATUS:
            return STATUS[value]
    return 502


def model_list(models: list[tuple[str, str]]) -> bytes:
    """``GET /v1/models`` of (id, owner) pairs."""
    return msgspec.json.encode({"object": "list", "data": [_model(name, owner) for name, owner in models]})


def model_object(name: str, owner: str) -> bytes:
    return msgspec.json.encode(_model(name, owner))


def _model(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


class OtherStream(Stream):
    """A stream whose events mean nothing to us: each is content, and the end of the HTTP body is the end."""

    __slots__ = ()

    def event(self, name: bytes, data: bytes) -> None:
        self.content = True

    def complete_at_end(self) -> bool:
        return True

    def early_error(self) -> tuple[int, bytes]:
        return status_of(error_of(self.error_data) or {}), self.error_data

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
            self.content = True
            return
        if name == b"error" or (b'"error"' in data and error_of(data) is not None):
            self.failed = True
            self.error_data = data
            return
        usage = usage_of(data) if b'"usage"' in data else None
        if usage is not None:
            self.add_usage(usage)
        elif self.content and not ENDING.search(data):
            self.deltas += 1
            self.size += len(data)
            return
        for choice in self._choices(data):
            index = choice.get("index")
            ended = bool(choice.get("finish_reason"))
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

    @staticmethod
    def _choices(data: bytes) -> list[dict[str, Any]]:
        try:
            chunk = _decode_any(data)
            choices = chunk.get("choices")
            return [choice for choice in choices or [] if isinstance(choice, dict)]
        except (msgspec.DecodeError, AttributeError, TypeError, RecursionError):
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
