"""The providers' API formats: how errors look, what a stream means, where usage stands."""

from __future__ import annotations

from edge.dialects.anthropic import MessagesStream
from edge.dialects.openai import ChatStream, CompletionsStream, OtherStream
from edge.dialects.responses import ResponsesStream
from edge.dialects.stream import Stream
from edge.routes import Route

__all__ = ["Stream", "stream_for"]

STREAMS: dict[str, type[Stream]] = {
    "chat": ChatStream,
    "completions": CompletionsStream,
    "messages": MessagesStream,
    "responses": ResponsesStream,
}


def stream_for(route: Route) -> Stream:
    """A fresh reader for a stream of this route."""
    return STREAMS.get(route.api, OtherStream)()
