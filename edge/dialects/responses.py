"""OpenAI's Responses format: its stream of typed events.

Event names from openai-python's ``types/responses/response_stream_event.py``. There is no ``[DONE]``: the stream ends
with ``response.completed``, ``response.incomplete`` or ``response.failed``.
"""

from __future__ import annotations

import msgspec

from edge.dialects.estimate import written_by_gpt
from edge.dialects.openai import _BareBody, _Body, _counts, _decode_any, envelope_of, error_of, status_of, usage_in
from edge.dialects.stream import Stream, type_of
from edge.errors import UNREADABLE, EdgeError
from edge.hooks import Usage

__all__ = ["ResponsesStream", "usage_of"]

TERMINAL = frozenset({b"response.completed", b"response.incomplete", b"response.failed"})
TOOLS = (b"web_search", b"file_search", b"code_interpreter", b"image_generation", b"mcp")
DELTAS = frozenset(
    {
        b"response.output_text.delta",
        b"response.refusal.delta",
        b"response.function_call_arguments.delta",
        b"response.custom_tool_call_input.delta",
        b"response.mcp_call_arguments.delta",
        b"response.code_interpreter_call_code.delta",
        b"response.reasoning_text.delta",
        b"response.reasoning_summary_text.delta",
    }
)
"""Events that bring what the model writes; their ``.done`` says it again."""
PREAMBLE = frozenset({b"response.created", b"response.queued", b"response.in_progress", b"response.content_part.added"})
CONTENT = frozenset(
    {b"response.output_item.done", b"response.content_part.done", b"response.output_text.annotation.added"}
    | {
        b"response.%b.done" % part
        for part in (b"output_text", b"refusal", b"reasoning_text", b"reasoning_summary_text")
    }
    | {b"response.reasoning_summary_part.%b" % what for what in (b"added", b"done")}
    | {b"response.%b.done" % call for call in (b"function_call_arguments", b"custom_tool_call_input")}
    | {b"response.%b.done" % call for call in (b"mcp_call_arguments", b"code_interpreter_call_code")}
    | {b"response.audio.%b" % what for what in (b"delta", b"done", b"transcript.delta", b"transcript.done")}
    | {b"response.%b_call.in_progress" % tool for tool in TOOLS}
    | {b"response.%b_call.completed" % tool for tool in TOOLS}
    | {b"response.%b_search_call.searching" % tool for tool in (b"web", b"file")}
    | {b"response.code_interpreter_call.interpreting", b"response.mcp_call.failed"}
    | {b"response.mcp_list_tools.%b" % state for state in (b"in_progress", b"completed", b"failed")}
    | {b"response.image_generation_call.%b" % state for state in (b"generating", b"partial_image")}
)
"""Other events that show the client something. What is in no list here (``keepalive``, what came after this was
written) passes, and is no content.
"""


class _Terminal(msgspec.Struct):
    response: _Body | None = None


class _BareTerminal(msgspec.Struct):
    response: _BareBody | None = None


_decode_terminal = msgspec.json.Decoder(_Terminal).decode
_decode_bare_terminal = msgspec.json.Decoder(_BareTerminal).decode


def usage_of(data: bytes) -> Usage | None:
    """The usage that the response of a terminal event reports."""
    try:
        response = _decode_terminal(data).response
        return usage_in(response) if response is not None else None
    except UNREADABLE:
        pass
    try:
        bare = _decode_bare_terminal(data).response
    except UNREADABLE:
        return None
    return Usage(*_counts(bare.usage)) if bare is not None and bare.usage is not None else None


class ResponsesStream(Stream):
    __slots__ = ()

    def event(self, name: bytes, data: bytes) -> None:
        named = name != b"message"
        if not named:
            name = type_of(data)
        if name in DELTAS:
            self.deltas += 1
            self.size += len(data)
            if not self.sample:
                self.content = True
                self.sample = data
            self.plain = named
        elif name in TERMINAL:
            self.closing = data
            self.finished = True
            if name == b"response.failed":
                self.failed = True
                self.error_data = data
            else:
                self.content = True
            self.add_usage(usage_of(data))
        elif name == b"error" or (not name and error_of(data) is not None):
            self.failed = True
            self.error_data = data
        elif name == b"response.output_item.added":
            if b'_call"' in data:
                self.calls += 1
        elif name in PREAMBLE:
            self.opening = self.opening or data
            self.accepted = True
        elif name in CONTENT:
            self.content = True

    def refusal(self, data: bytes) -> tuple[int, bytes]:
        """The fields of an ``error`` event, or the error of a failed response, in OpenAI's envelope."""
        try:
            decoded = _decode_any(data)
            error = error_of(data) or (decoded.get("response") or {}).get("error") or decoded
            status = status_of({"code": error.get("code"), "type": error.get("type")})
        except (*UNREADABLE, AttributeError):
            return 502, data
        return status, envelope_of(error, status)

    def refusal_event(self, body: bytes) -> bytes:
        error = error_of(body)
        if error is None:
            return b""
        fields = {name: error.get(name) for name in ("code", "message", "param")}
        event = {"type": "error", **fields, "sequence_number": self.seen}
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"

    def estimate(self, model: str) -> int:
        return written_by_gpt(self.written(), self.deltas, self.calls)

    def complete_at_end(self) -> bool:
        return self.finished

    def error_event(self, error: EdgeError, request_id: str) -> bytes:
        data = {
            "type": "error",
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "sequence_number": self.seen,
        }
        return b"event: error\ndata: " + msgspec.json.encode(data) + b"\n\n"
