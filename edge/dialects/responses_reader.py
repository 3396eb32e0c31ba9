"""How streams of OpenAI's Responses are read for clients of other APIs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import msgspec

from edge.dialects.responses_output import QUIET
from edge.dialects.stream import heartbeat
from edge.dialects.stream_reader import EventReader
from edge.errors import UNREADABLE

__all__ = ["ResponsesReader", "decode_delta", "decode_part", "decode_whole"]


class _Part(msgspec.Struct):
    """Of an event about an item."""

    output_index: int = 0
    item: dict[str, Any] = {}


class _Whole(msgspec.Struct):
    """Of an event about the response."""

    response: dict[str, Any] = {}


class _Delta(msgspec.Struct):
    """Of an event that has more of an item."""

    delta: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    annotation: Any = None


decode_delta = msgspec.json.Decoder(_Delta).decode
decode_part = msgspec.json.Decoder(_Part).decode
decode_whole = msgspec.json.Decoder(_Whole).decode
decode_any = msgspec.json.Decoder(dict[str, Any]).decode


class ResponsesReader(EventReader):
    """``STEPS`` are those of any other API."""

    __slots__ = ()
    STEPS: ClassVar = {
        b"response.created": "_begin",
        b"response.in_progress": "_begin",
        b"response.output_item.added": "_added",
        b"response.output_text.delta": "_said",
        b"response.refusal.delta": "_refused",
        b"response.reasoning_summary_text.delta": "_thought",
        b"response.reasoning_text.delta": "_thought",
        b"response.function_call_arguments.delta": "_more",
        b"response.output_item.done": "_done",
        b"response.completed": "_end",
        b"response.incomplete": "_end",
        b"response.failed": "_failed",
        b"error": "_failed",
    }
    FAULTS: ClassVar = (*UNREADABLE, AttributeError, TypeError)

    def _says_nothing(self, name: bytes, data: bytes) -> bool:
        return name in QUIET or data == b"[DONE]" or heartbeat(name, data)

    def _failed(self, data: bytes) -> None:
        value = decode_any(data)
        response = value.get("response")
        self._broken((response.get("error") if isinstance(response, dict) else None) or value.get("error") or value)
        self._closed = True

    @abstractmethod
    def _broken(self, error: Any) -> None:
        """The provider has broken off with an ``error``."""
