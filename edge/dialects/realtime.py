"""OpenAI's Realtime API: what its events tell of tokens, of models and of responses.

Events from openai-python's ``types/realtime/realtime_server_event.py``. Its usage spells the details of tokens without
the plural, ``input_token_details`` (``types/realtime/realtime_response_usage.py``).
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge.dialects.estimate import GPT_BYTES
from edge.dialects.openai import error_type
from edge.errors import UNREADABLE, EdgeError
from edge.hooks import Part, Usage

__all__ = ["ServerEvent", "error_event", "heard_in", "read_event", "transcribed", "usage_of", "weight_of"]

SAMPLED = 2400
"""Bytes of sound, as 16 bits 24,000 times a second, that are one token of output: 50 ms
(https://platform.openai.com/docs/guides/realtime-costs)."""


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: _InputDetails | None = None
    output_token_details: _OutputDetails | None = None


class _Response(msgspec.Struct):
    id: str = ""
    usage: _Usage | None = None


class _Transcription(msgspec.Struct):
    model: str | None = None


class _Input(msgspec.Struct):
    transcription: _Transcription | None = None


class _Audio(msgspec.Struct):
    input: _Input | None = None


class _Session(msgspec.Struct):
    audio: _Audio | None = None
    input_audio_transcription: _Transcription | None = None


class _Error(msgspec.Struct):
    event_id: str | None = None


class ServerEvent(msgspec.Struct):
    """What of an event matters here. ``delta`` is what a model has written or said."""

    type: str = ""
    response_id: str | None = None
    response: _Response | None = None
    session: _Session | None = None
    usage: _Usage | None = None
    error: _Error | None = None
    delta: msgspec.Raw = msgspec.Raw(b"")


class _Bare(msgspec.Struct):
    type: str = ""


_decode = msgspec.json.Decoder(ServerEvent).decode
_decode_bare = msgspec.json.Decoder(_Bare).decode


def read_event(data: bytes) -> ServerEvent | None:
    """None for what is no event. Of one whose fields are of other kinds than is known here, the type alone."""
    try:
        return _decode(data)
    except UNREADABLE:
        pass
    try:
        return ServerEvent(_decode_bare(data).type)
    except UNREADABLE:
        return None


def usage_of(usage: _Usage | None) -> Usage | None:
    """What a response used."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    of_input = usage.input_token_details or _InputDetails()
    of_output = usage.output_token_details or _OutputDetails()
    cached = max(0, of_input.cached_tokens or 0)
    return Usage(
        max(0, usage.input_tokens - cached),
        max(0, usage.output_tokens),
        cached,
        0,
        max(0, of_output.reasoning_tokens) if of_output.reasoning_tokens is not None else -1,
        audio_input=max(0, of_input.audio_tokens or 0),
        audio_output=max(0, of_output.audio_tokens or 0),
        image_input=max(0, of_input.image_tokens or 0),
    )


def transcribed(usage: _Usage | None, model: str) -> Usage | None:
    """What the transcription of what a client has said used, of another model."""
    counts = usage_of(usage)
    return None if counts is None else Usage(0, 0, parts=(Part(counts, model),))


def weight_of(event: ServerEvent) -> tuple[float, float]:
    """The tokens that a delta is, about: of text, and of sound. What is said is told as text too, which is not
    counted again.
    """
    size = max(0, len(event.delta) - 2)
    if event.type.endswith("audio.delta"):
        return 0.0, size * 3 / 4 / SAMPLED
    return (0.0 if "transcript" in event.type else size / GPT_BYTES), 0.0


def heard_in(session: _Session) -> str | None:
    """The model that transcribes in a session, None where that is not told."""
    if session.audio is not None and session.audio.input is not None and session.audio.input.transcription is not None:
        return session.audio.input.transcription.model
    older = session.input_audio_transcription
    return None if older is None else older.model


def error_event(error: EdgeError, event_id: str, asked_by: str | None) -> bytes:
    """An error as an event of the session, about a client's event that calls itself `asked_by`."""
    told: dict[str, Any] = {
        "type": error_type(error.status),
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "event_id": asked_by,
    }
    return msgspec.json.encode({"type": "error", "event_id": event_id, "error": told})
