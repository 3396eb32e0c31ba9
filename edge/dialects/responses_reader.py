"""How streams of OpenAI's Responses are read for clients of other APIs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from edge.dialects.responses_output import QUIET
from edge.dialects.stream import heartbeat, type_of
from edge.dialects.translation import Context, Reader
from edge.errors import UNREADABLE, EdgeError, UpstreamBadResponse, UpstreamStreamBroken

__all__ = ["ResponsesReader", "decode_any", "decode_part", "decode_whole"]


class _Part(msgspec.Struct):
    """Of an event about an item."""

    output_index: int = 0
    item: dict[str, Any] = {}


class _Whole(msgspec.Struct):
    """Of an event about the response."""

    response: dict[str, Any] = {}


decode_part = msgspec.json.Decoder(_Part).decode
decode_whole = msgspec.json.Decoder(_Whole).decode
decode_any = msgspec.json.Decoder(dict[str, Any]).decode


class ResponsesReader(Reader):
    """One stream. `feed` takes events as the SSE decoder gives them, and `finish` the end of the body; both return what
    to send on. After an error, or the end, they return nothing more. Raises UpstreamBadResponse for an event that
    cannot be read. ``STEPS`` is what is done with each event that says something, by its name.
    """

    __slots__ = ("_closed", "_context")
    STEPS: ClassVar[Mapping[bytes, Callable[[Any, bytes, list[bytes]], None]]] = {}

    def __init__(self, context: Context) -> None:
        self._context = context
        self._closed = False

    def feed(self, events: list[tuple[bytes, bytes]]) -> bytes:
        out: list[bytes] = []
        for name, data in events:
            if self._closed:
                break
            if name == b"message":
                name = type_of(data)  # a compatible server that leaves the event's name out
            step = self.STEPS.get(name)
            if step is None:
                if name not in QUIET and data != b"[DONE]" and not heartbeat(name, data):
                    self._context.warnings.add("event")
                continue
            try:
                step(self, data, out)
            except (*UNREADABLE, AttributeError, TypeError):
                raise UpstreamBadResponse("The provider sent an event that cannot be read.") from None
        return b"".join(out)

    def finish(self) -> bytes:
        """The body has ended: a stream without its last event was cut off, and its client has to know."""
        return b"" if self._closed else self.fail(UpstreamStreamBroken(), self._context.request_id)

    def fail(self, error: EdgeError, request_id: str) -> bytes:
        """An error of our own as the last thing one client is sent; others may go on."""
        return b"" if self._closed else self._error_event(error, request_id)

    def _error_event(self, error: EdgeError, request_id: str) -> bytes:
        """The error as an event of the client's API."""
        raise NotImplementedError
