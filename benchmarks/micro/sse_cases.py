"""Reading a stream of server-sent events."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from benchmarks.micro.case import Case

EVENT = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,'
EVENT += b'"delta":{"content":" word"},"finish_reason":null}]}\n\n'
STREAM = EVENT * 400


def decoder(module: ModuleType) -> dict[str, Any]:
    return {"decoder": module.SSEDecoder, "stream": STREAM, "event": EVENT, "ready": module.SSEDecoder()}


CASES = [
    Case("sse", "a read of 400 events", decoder, "decoder().feed(stream)", size=len(STREAM), limit=200),
    Case("sse", "a read of one event", decoder, "ready.feed(event)"),
]
