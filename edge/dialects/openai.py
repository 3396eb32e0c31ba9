"""OpenAI's format: errors, usage, and the streams of chat completions and completions.

Shapes from openai-python's types (``types/chat/chat_completion_chunk.py``, ``types/completion_usage.py``) and the error
envelope its ``_exceptions.py`` reads.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge.dialects.stream import Stream
from edge.errors import EdgeError
from edge.hooks import Usage

__all__ = ["ChatStream", "CompletionsStream", "OtherStream", "error_body", "model_list", "usage_of"]

TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "rate_limit_error"}
STATUS = {
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


def error_type(status: int) -> str:
    return TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")


def error_body(error: EdgeError) -> bytes:
    """``{"error": {message, type, param, code}}``."""
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
    details = usage.prompt_tokens_details or usage.input_tokens_details or _Details()
    reasoning = (usage.completion_tokens_details or usage.output_tokens_details or _Details()).reasoning_tokens
    cached = details.cached_tokens or 0
    written = details.cache_write_tokens or 0
    return Usage(
        input=-1 if prompt is None else max(0, prompt - cached - written),
        output=-1 if output is None else output,
        cache_read=cached,
        cache_write=written,
        reasoning=-1 if reasoning is None else reasoning,
    )


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

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        return b"data: " + error_body(error) + b"\n\n"


class ChatStream(OtherStream):
    """``chat.completion.chunk`` events, ended by ``data: [DONE]``."""

    __slots__ = ("_finish_seen",)

    def __init__(self) -> None:
        super().__init__()
        self._finish_seen = False

    def event(self, name: bytes, data: bytes) -> None:
        if data == b"[DONE]":
            self.finished = True
            self.content = True
            return
        if name == b"error" or b'"error"' in data[:24]:
            self.failed = True
            self.error_data = data
            return
        if b'"usage"' in data:
            self.add_usage(usage_of(data))
        if b'"finish_reason"' in data and not self._finish_seen:
            self._finish_seen = self._finishes(data)
        if not self.content:
            self.content = self._finish_seen or self._has_content(data)

    def complete_at_end(self) -> bool:
        """Some compatible servers leave ``[DONE]`` out: a finish reason will do."""
        return self.finished or self._finish_seen

    def error_status(self) -> int:
        try:
            error = _decode_any(self.error_data)["error"]
            return STATUS.get(error.get("code") or "") or STATUS.get(error.get("type") or "") or 502
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError):
            return 502

    @staticmethod
    def _choices(data: bytes) -> list[dict[str, Any]]:
        try:
            chunk = _decode_any(data)
            choices = chunk.get("choices")
            return [choice for choice in choices or [] if isinstance(choice, dict)]
        except (msgspec.DecodeError, AttributeError, TypeError, RecursionError):
            return []

    def _finishes(self, data: bytes) -> bool:
        return any(choice.get("finish_reason") for choice in self._choices(data))

    def _has_content(self, data: bytes) -> bool:
        for choice in self._choices(data):
            delta = choice.get("delta")
            if isinstance(delta, dict) and any(value for key, value in delta.items() if key != "role"):
                return True
        return False


class CompletionsStream(ChatStream):
    """``text_completion`` events: a choice carries its text itself."""

    __slots__ = ()

    def _has_content(self, data: bytes) -> bool:
        return any(choice.get("text") for choice in self._choices(data))
