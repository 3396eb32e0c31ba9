"""A text as the three dialects stream it, in any pieces, and as their clients add it up."""

from __future__ import annotations

import json
from itertools import pairwise

__all__ = [
    "DIALECTS",
    "NESTED",
    "anthropic",
    "bytes_pieces",
    "chunk",
    "data_of",
    "event",
    "joined",
    "numbers_of",
    "pieces_of",
]


def event(name, **told):
    return f"event: {name}\ndata: {json.dumps({'type': name, **told})}\n\n".encode()


def chunk(index=0, finish=None, **delta):
    told = {"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": finish}], "usage": None}
    return f"data: {json.dumps(told)}\n\n".encode()


def anthropic(pieces, key="text"):
    yield event("message_start", message={"content": []})
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for piece in pieces:
        yield event("content_block_delta", index=0, delta={"type": f"{key}_delta", key: piece})
        yield event("ping")
    yield event("content_block_stop", index=0)
    yield event("message_stop")


def chat(pieces):
    yield chunk(role="assistant", content="")
    for piece in pieces:
        yield chunk(content=piece)
        yield chunk(1, content="[")
    yield chunk(finish="stop")
    yield chunk(1, finish="stop")
    yield b"data: [DONE]\n\n"


def calls(pieces):
    for number, piece in enumerate(pieces):
        named = {"name": "f", "arguments": piece} if number == 0 else {"arguments": piece}
        yield chunk(tool_calls=[{"index": 0, "function": named, **({"id": "x"} if number == 0 else {})}])
    yield chunk(finish="tool_calls")
    yield b"data: [DONE]\n\n"


def responses(pieces, kind="response.output_text"):
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    for number, piece in enumerate(pieces):
        yield event(f"{kind}.delta", **place, delta=piece, sequence_number=number)
    yield event(f"{kind}.done", **place, text="".join(pieces), sequence_number=len(pieces))


def numbers_of(stream):
    """The numbers of its events."""
    return [told["sequence_number"] for told in data_of(stream)]


def data_of(stream):
    for line in stream.decode().split("\n"):
        if line.startswith("data: {"):
            yield json.loads(line[6:])


def joined(stream, dialect):
    """The text of a stream, as a client adds it up."""
    text = ""
    for told in data_of(stream):
        if dialect == "chat":
            text += "".join(c["delta"].get("content") or "" for c in told["choices"] if c["index"] == 0)
        elif dialect == "calls":
            for choice in told["choices"]:
                for call in choice["delta"].get("tool_calls", ()):
                    text += call["function"].get("arguments", "")
        elif dialect in ("responses", "function"):
            text += told["delta"] if told["type"].endswith(".delta") else ""
        elif told["type"] == "content_block_delta":
            text += told["delta"].get("text", "") + told["delta"].get("partial_json", "")
    return text


DIALECTS = {
    "chat": chat,
    "calls": calls,
    "anthropic": anthropic,
    "partial": lambda pieces: anthropic(pieces, "partial_json"),
    "responses": responses,
    "function": lambda pieces: responses(pieces, "response.function_call_arguments"),
}
NESTED = ("calls", "partial", "function")
"""Those whose text is JSON."""


def pieces_of(text, cuts):
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(places)]


def bytes_pieces(data, places):
    ends = sorted({*places, 0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]
