"""Anthropic's format: errors, usage, and the stream of a message.

Shapes from anthropic-sdk-python (``types/raw_message_stream_event.py``, ``types/usage.py``) and Anthropic's pages on
errors and streaming: https://docs.anthropic.com/en/api/errors, https://docs.anthropic.com/en/api/messages-streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge._fast import UsualAnswer
from edge._fast.answer_forms import CACHED, INPUT, LONGER, OUTPUT, REASONING, SHORTER, WRITTEN
from edge.dialects import openai
from edge.dialects.estimate import written_by_claude
from edge.dialects.stream import Stream, count, one_line, type_of
from edge.errors import UNREADABLE, EdgeError
from edge.hooks import Part, Usage

__all__ = ["MessagesStream", "error_body", "usage_of"]

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The only values of ``error.type`` that exist."""
STATUS = {name: status for status, name in TYPES.items()}
OTHER_TYPES = {408: "timeout_error"}
"""Types of statuses that Anthropic's API does not answer with, but others in its dialect do."""


LONG = 300
"""Bytes of a delta that is worth a look: text comes in shorter ones, the signature of a thought in one longer."""


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _CacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _ServerToolUse(msgspec.Struct):
    web_search_requests: int | None = None


class _Counts(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Sampling(_Counts):
    type: str = ""
    model: str | None = None
    cache_creation: _CacheCreation | None = None


class _Usage(_Counts):
    output_tokens_details: _OutputDetails | None = None
    cache_creation: _CacheCreation | None = None
    server_tool_use: _ServerToolUse | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    iterations: list[_Sampling] | None = None


class _Body(msgspec.Struct):
    usage: _Usage | None = None
    message: _Body | None = None


class _BareBody(msgspec.Struct):
    """What is left to read where the details are of a kind that nobody knows."""

    usage: _Counts | None = None
    message: _BareBody | None = None


OUTSIDE = frozenset({"compaction", "advisor_message"})
"""Types of ``iterations`` that are billed beside the sums of a usage; it has the others in it
(``types/beta/beta_iterations_usage.py``)."""

_decode_body = msgspec.json.Decoder(_Body).decode
_decode_bare = msgspec.json.Decoder(_BareBody).decode
_decode_any = msgspec.json.Decoder().decode


def error_type(status: int) -> str:
    return TYPES.get(status) or OTHER_TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def error_body(error: EdgeError, request_id: str) -> bytes:
    """``{"type": "error", "error": {type, message, details}, "request_id"}``; ``details`` where there are some."""
    fields: dict[str, Any] = {"type": error_type(error.status), "message": error.message}
    if error.details is not None:
        fields["details"] = error.details
    return msgspec.json.encode({"type": "error", "error": fields, "request_id": request_id})


def usage_of(body: bytes) -> Usage | None:
    """The usage a complete message, a ``message_start`` or a ``message_delta`` reports."""
    try:
        return usage_in(_decode_body(body))
    except UNREADABLE:
        pass
    try:
        bare = _decode_bare(body)
    except UNREADABLE:
        return None
    usage = bare.usage or (bare.message.usage if bare.message else None)
    return None if usage is None else _counts(usage, None)


def usage_counted(found: UsualAnswer) -> Usage:
    """The usage of an answer that was read as a usual one."""
    written, long, short = found.count(WRITTEN), found.count(LONGER), found.count(SHORTER)
    if long >= 0 or short >= 0:
        written = max(written, max(0, long) + max(0, short))
    return Usage(
        found.count(INPUT),
        found.count(OUTPUT),
        found.count(CACHED),
        written,
        found.count(REASONING),
        max(0, long),
        service_tier=found.tier,
        speed=found.speed,
        geo=found.geo,
    )


def usage_in(body: _Body) -> Usage | None:
    """The usage of a decoded message or event."""
    usage = body.usage or (body.message.usage if body.message else None)
    if usage is None:
        return None
    details, tools = usage.output_tokens_details, usage.server_tool_use
    counts = _counts(usage, usage.cache_creation)
    return Usage(
        counts.input,
        counts.output,
        counts.cache_read,
        counts.cache_write,
        count(details.thinking_tokens) if details is not None else -1,
        counts.cache_write_long,
        web_searches=max(0, count(tools.web_search_requests)) if tools is not None else 0,
        service_tier=usage.service_tier or "",
        speed=usage.speed or "",
        geo=usage.inference_geo or "",
        parts=_parts(usage.iterations or []),
    )


def _counts(usage: _Counts, creation: _CacheCreation | None) -> Usage:
    """The four counts. Where those of the cache's two times do not add up to the tokens written, the rest was written
    for the shorter.
    """
    written = count(usage.cache_creation_input_tokens)
    long = 0
    if creation is not None:
        long = max(0, count(creation.ephemeral_1h_input_tokens))
        written = max(written, long + max(0, count(creation.ephemeral_5m_input_tokens)))
    return Usage(
        count(usage.input_tokens),
        count(usage.output_tokens),
        count(usage.cache_read_input_tokens),
        written,
        cache_write_long=long,
    )


def _parts(iterations: list[_Sampling]) -> tuple[Part, ...]:
    """The samplings, where they say more than the sums: there are several, or one is of another model or outside."""
    parts = tuple(
        Part(_counts(each, each.cache_creation), each.model or "", each.type not in OUTSIDE) for each in iterations
    )
    return () if len(parts) == 1 and parts[0].inside and not parts[0].model else parts


def is_error(data: bytes) -> bool:
    """Whether this is an error in the form that Anthropic's clients read."""
    try:
        decoded = _decode_any(data)
        return decoded.get("type") == "error" and isinstance(decoded["error"]["message"], str)
    except (*UNREADABLE, AttributeError, KeyError, TypeError):
        return False


class MessagesStream(Stream):
    """``message_start`` to ``message_stop``. What is not known here passes, and is no content."""

    __slots__ = ("_before", "_counted")

    def __init__(self) -> None:
        super().__init__()
        self._before = 0
        self._counted = False

    def event(self, name: bytes, data: bytes) -> None:
        named = name != b"message"
        if not named:
            name = type_of(data)  # a compatible server that leaves the event's name out
        if name == b"content_block_delta":
            if len(data) > LONG and b'"signature_delta"' in data:
                return  # it proves who has been thinking, and is no text
            self.deltas += 1
            self.size += len(data)
            if not self.sample:
                self.content = True
                self.sample = data
            self.plain = named and b'"signature_delta"' not in data
        elif name == b"message_stop":
            self.finished = True
        elif name == b"error" or (not name and openai.error_of(data) is not None):
            self.failed = True
            self.error_data = data
        elif name == b"message_start":
            self.opening = data
            self.add_usage(usage_of(data))
        elif name == b"message_delta":
            self.closing = data
            self.content = True
            usage = usage_of(data)
            self._counted = self._counted or (usage is not None and usage.output >= 0)
            self.add_usage(usage)
        elif name == b"content_block_start":
            self._begin_block(data)
            # An empty text or thinking block announces content; any other block is content.
            if b'"text":""' not in data and b'"thinking":""' not in data:
                self.content = True

    def _begin_block(self, data: bytes) -> None:
        """Each block's deltas have an envelope of their own: what the last one said is settled."""
        self._before += self.written()
        self.deltas = self.size = 0
        self.sample = b""
        if b'tool_use"' in data:
            self.calls += 1

    def reported(self) -> Usage | None:
        """Some servers say 0, or 1 token of output, at the beginning, for what they never count: no request is without
        tokens, and no answer that wrote something.
        """
        usage = self.usage
        if usage is None:
            return None
        if usage.input == 0 and usage.cache_read <= 0 and usage.cache_write <= 0:
            usage = usage.told(-1, usage.output)
        if usage.output <= (0 if self._counted else 1) and self._before + self.deltas:
            usage = usage.told(usage.input, -1)
        return usage

    def estimate(self, model: str) -> int:
        return written_by_claude(self._before + self.written(), self.calls, model)

    def complete_at_end(self) -> bool:
        return self.finished

    def refusal(self, data: bytes) -> tuple[int, bytes]:
        error = openai.error_of(data) or {}
        kind, message = error.get("type"), error.get("message")
        status = STATUS.get(kind) if isinstance(kind, str) else None
        status = status or openai.status_of(error)
        if is_error(data):
            return status, data
        told = {  # of a compatible server, in the other API's form
            "type": error_type(status),
            "message": message if isinstance(message, str) else "The provider reported an error.",
        }
        return status, msgspec.json.encode({"type": "error", "error": told})

    def refusal_event(self, body: bytes) -> bytes:
        return b"event: error\ndata: " + one_line(body) + b"\n\n" if is_error(body) else b""

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"
