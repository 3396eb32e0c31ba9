"""The chunks of a chat completion that are made of another API's stream.

Shapes: openai-python 3.57 ``types/chat/chat_completion_chunk.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.dialects.openai import error_body
from edge.dialects.translation import Context, encode, openai_usage
from edge.errors import EdgeError
from edge.hooks import Usage

__all__ = ["ChunkWriter"]


class ChunkWriter:
    """Those of one stream, created at `now` in unix seconds. ``begun``: the first, which brings the role, is out."""

    __slots__ = ("_context", "_delta", "_id", "_model", "_now", "_out", "_tail", "begun")

    def __init__(self, context: Context, now: int) -> None:
        self._context = context
        self._now = now
        self._id = f"chatcmpl-{context.request_id or now}"
        self._model = context.model
        self._delta = b""
        told = b',"usage":null' if context.include_usage else b""
        self._tail = b',"logprobs":null,"finish_reason":null}]' + told + b"}\n\n"
        self._out: list[bytes] = []
        self.begun = False

    def taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def named(self, given_id: str | None, model: str | None) -> None:
        """What the provider calls the answer and itself, which counts until the first chunk."""
        if not self.begun:
            self._id, self._model = given_id or self._id, model or self._model

    def chunk(self, delta: bytes) -> None:
        if not self.begun:
            self._begin()
        self._out.append(self._delta + delta + self._tail)

    def end(self, finish: str, usage: Callable[[], Usage], native: str = "", tier: str = "") -> None:
        """Why it ended, in the provider's own word too if that is `native`; what it used, if that is asked for; `tier`
        is the one that served it, if that is known.
        """
        if not self.begun:
            self._begin()
        tail = self._tail.replace(b'"finish_reason":null', b'"finish_reason":"' + finish.encode() + b'"', 1)
        if native:
            tail = tail.replace(b"}]", b',"native_finish_reason":"' + native.encode() + b'"}]', 1)
        out = self._out
        served = b',"service_tier":"' + tier.encode() + b'"' if tier else b""
        out.append(self._delta + b"{}" + tail[:-3] + served + tail[-3:])
        if self._context.include_usage:
            used = usage()
            counts = encode(openai_usage(used, estimated=self._context.told is not None))
            out.append(self._head() + b'"choices":[],"usage":' + counts + served + b"}\n\n")
        out.append(b"data: [DONE]\n\n")

    def error(self, error: dict[str, Any]) -> None:
        """The provider has broken off with an error: nothing comes after it, no [DONE] either."""
        self._out.append(b"data: " + encode({"error": error}) + b"\n\n")

    def failure(self, error: EdgeError, request_id: str) -> bytes:
        return b"data: " + error_body(error) + b"\n\n"

    def _head(self) -> bytes:
        head = {"id": self._id, "object": "chat.completion.chunk", "created": self._now, "model": self._model}
        return b"data: " + encode(head)[:-1] + b","

    def _begin(self) -> None:
        """With the first chunk the part that all others begin with is known."""
        self.begun = True
        self._delta = self._head() + b'"choices":[{"index":0,"delta":'
        self._out.append(self._delta + b'{"role":"assistant","content":"","refusal":null}' + self._tail)
