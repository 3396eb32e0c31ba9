"""How many tokens a request and its answer were, where the provider does not say: an estimate, never a count.

Nothing here knows a tokenizer. What was written is measured in bytes of UTF-8, and what a provider adds to it by what
its own counts say in recorded calls (medians over 125 chat completions and 161 messages):

* of a request, 4 bytes are a token; of what OpenAI's models write 4.3, of what Claude writes 3.6, and 2.8 since Opus
  4.7, whose tokenizer makes about 30% more tokens
  (https://platform.claude.com/docs/en/models/sonnet-5/migration-guide);
* a tool call costs 10 tokens beside its arguments with OpenAI (several at once 15 more), 45 with Anthropic;
* OpenAI sends one event a token, and pads it to a length that says nothing (``obfuscation``).

Hidden work (searches a provider runs, reasoning it does not show) cannot be seen, so it is not in an estimate.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge._fast import BodyText, KnownBodies, Scanned, UsualRequest, openings
from edge.dialects.models import anthropic_model
from edge.dialects.tokens import USUAL as USUAL_MESSAGES
from edge.dialects.tokens import estimate_tokens, known_tokens
from edge.dialects.translation import encode
from edge.errors import EdgeError
from edge.payload import Payload
from edge.slices import LARGE

__all__ = [
    "LIMITS",
    "decoded_input",
    "envelope",
    "estimate_answer",
    "estimate_input",
    "known_input",
    "sized_input",
]
__all__ += ["tokens_allowed", "written_by_claude", "written_by_gpt"]

LIMITS = (b"max_completion_tokens", b"max_tokens", b"max_output_tokens")
"""What a request says of how many tokens may be written, in the three APIs; the first that is given counts."""
MAX_PARTS = 5000
"""Lists and objects: a body made of little else would take a tenth of a second to walk through."""
MAX_MARKS = 1000
MAX_SEARCHED = 1 << 20
MIN_BLOB = 1024
"""How far base64 is looked for in a large body: bytes that are none, and places that might be some. What is behind is
counted like the rest."""
BLOBS = (b";base64,", b'"data":"', b'"data": "')
"""What stands before base64 in a request, in either dialect: pictures and documents, which are not read as text."""
IMAGE = 765
"""OpenAI's price of a picture of 1024 x 1024 in high detail (https://platform.openai.com/docs/guides/images-vision)."""
LOW_DETAIL = 85
DOCUMENT = 2000
BYTES, BEGIN, MESSAGE = 4, 3, 4
"""Of a token; tokens that come with a request, and with each of its messages."""
TOOLS = 8
"""Tokens that come with tools; their schemas, which OpenAI shortens, count at 6 bytes a token."""
SCHEMA_BYTES = 6
GPT_BYTES, CLAUDE_BYTES, NEW_CLAUDE_BYTES = 4.3, 3.6, 2.8
GPT_CALL, CLAUDE_CALL = 10, 45
PARALLEL = 15
"""Tokens of the wrapper that OpenAI's models put several calls at once into."""
PADDED = 12
"""Of an obfuscated event, what its text and the padding have beyond 4 bytes, which are a token."""
SPACES = 8
"""Anthropic pads an event with up to 15 spaces before its last brace: so many on average."""
TEXT = frozenset(
    {"content", "text", "arguments", "partial_json", "thinking", "reasoning_content", "reasoning", "refusal", "delta"}
)
MAX_DEPTH = 8

_decode = msgspec.json.Decoder().decode
USUAL = UsualRequest()
"""Nearly all requests are measured by it."""


def tokens_allowed(payload: Payload) -> int:
    """How many tokens a request lets be written for one answer; 0 where it does not say."""
    most = 0
    for name in LIMITS:
        most = payload.scan.number(name)
        if most > 0:
            break
    return most


def estimate_input(path: str, body: bytes) -> int:
    """The input tokens of a request to `path` (``Route.upstream``), at least 1. Never raises: what cannot be read is
    counted by its size.
    """
    size = len(body)
    # Not parsed on the event loop: what is no base64 in it counts at 4 bytes a token, JSON's own characters included.
    if size > LARGE or (size > MAX_PARTS and openings(body) > MAX_PARTS):
        return _by_size(body)
    if path.startswith("/messages"):
        try:
            return estimate_tokens(body)
        except (msgspec.DecodeError, RecursionError, UnicodeError, EdgeError):
            return _by_size(body)
    request = USUAL
    if not request.read(body):
        return decoded_input(body)
    return tokens_of(request.text, request.messages, request.tools, request.schemas)


def known_input(path: str, body: bytes, scan: Scanned, model: str) -> int:
    """The same of a body whose text is known by its form (``Scanned.sizes``), for its model."""
    sizes: BodyText | None = scan.sizes
    assert sizes is not None  # noqa: S101 - else it is not known
    if len(body) > MAX_PARTS and openings(body) > MAX_PARTS:
        return _by_size(body)
    if path.startswith("/messages"):
        return known_tokens(model, scan, sizes)
    return tokens_of(scan.text_bytes, sizes.messages, sizes.tools, scan.schema_bytes)


def sized_input(path: str, body: bytes, bodies: KnownBodies | None) -> int:
    """The same of any body. With `bodies`, it is like one of these: then that of the next is known by its form."""
    tokens = estimate_input(path, body)
    if bodies is not None:
        reader = USUAL_MESSAGES if path.startswith("/messages") else USUAL
        bodies.size(body, reader if reader.read(body) else None)
    return tokens


def tokens_of(text: int, messages: int, tools: int, schemas: int) -> int:
    """Of so many bytes of text in so many messages, and of so many tools with so many bytes of JSON."""
    tokens = BEGIN + text // BYTES + MESSAGE * messages
    if tools > 0:
        tokens += TOOLS + schemas // SCHEMA_BYTES
    return tokens


def decoded_input(body: bytes) -> int:
    """The same of any request in OpenAI's dialects, by all that it says."""
    try:
        request = _decode(body)
        return _openai_input(request) if isinstance(request, dict) else _by_size(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _by_size(body)


def estimate_answer(body: bytes) -> int:
    """The output tokens of a whole answer, by the text in it."""
    if len(body) > LARGE:  # not parsed on the event loop
        return len(body) // 4
    try:
        return _written(_decode(body), 0) // 4
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return len(body) // 4


def envelope(event: bytes) -> int:
    """How many bytes of an event's data are not what the model wrote, on average over events of its kind."""
    try:
        decoded = _decode(event)
        around = len(event) - _written(decoded, 0)
        padding = decoded.get("obfuscation")
    except (msgspec.DecodeError, RecursionError, UnicodeError, AttributeError):
        return len(event)
    if isinstance(padding, str):
        return around - len(padding) + PADDED
    spaces = len(event) - 1 - len(event[:-1].rstrip(b" "))
    return around - spaces + SPACES if spaces else around


def written_by_gpt(text_bytes: int, events: int, calls: int) -> int:
    """Output tokens of a stream in OpenAI's dialect: an event is at least one; who sends several at once is measured
    by the bytes.
    """
    return max(events, int(text_bytes / GPT_BYTES)) + GPT_CALL * calls + (PARALLEL if calls > 1 else 0)


def written_by_claude(text_bytes: int, calls: int, model: str) -> int:
    """Output tokens of a stream in Anthropic's dialect."""
    size = CLAUDE_BYTES if anthropic_model(model).sampling else NEW_CLAUDE_BYTES
    return int(text_bytes / size) + CLAUDE_CALL * calls


def _by_size(body: bytes) -> int:
    """A quarter of the bytes, and a picture for each piece of base64."""
    size, blobs = len(body), 0
    for mark in BLOBS:
        end, left = 0, MAX_SEARCHED
        for _ in range(MAX_MARKS):
            at = body.find(mark, end, end + left)
            if at < 0:
                break
            left -= at - end
            start = at + len(mark)
            end = body.find(b'"', start)
            if end < 0:
                break
            if end - start >= MIN_BLOB:
                size -= end - start
                blobs += 1
    return max(1, size // 4 + IMAGE * blobs)


def _openai_input(request: dict[str, Any]) -> int:
    """Of chat completions, completions, responses, embeddings and rerankings."""
    size, fixed = 0, BEGIN
    for name in ("messages", "input", "prompt", "instructions", "query", "documents"):
        text, extra = _said(request.get(name), 0)
        size, fixed = size + text, fixed + extra
    tools = request.get("tools") or request.get("functions")
    if isinstance(tools, list) and tools:
        fixed += TOOLS + sum(len(encode(tool)) for tool in tools) // SCHEMA_BYTES
    shape = request.get("response_format") or request.get("text")
    if isinstance(shape, dict) and "schema" in str(shape.get("type", shape.get("format"))):
        fixed += len(encode(shape)) // SCHEMA_BYTES
    return size // BYTES + fixed


def _said(content: Any, depth: int) -> tuple[int, int]:
    """The bytes of text in a message, a part or a list of them, and the tokens of what is no text."""
    if isinstance(content, str):
        return len(content.encode("utf-8", "surrogatepass")), 0
    if isinstance(content, list):
        if content and isinstance(content[0], int):
            return 0, len(content)  # tokens, which a prompt may be given as
        size = fixed = 0
        for part in content:
            text, extra = _said(part, depth + 1)
            size, fixed = size + text, fixed + extra
        return size, fixed
    if not isinstance(content, dict) or depth > MAX_DEPTH:
        return 0, 0
    kind = content.get("type")
    if kind in ("image_url", "input_image"):
        detail = content.get("detail") or content.get("image_url")
        detail = detail.get("detail") if isinstance(detail, dict) else detail
        return 0, LOW_DETAIL if detail == "low" else IMAGE
    if kind in ("file", "input_file", "input_audio"):
        return 0, DOCUMENT
    size, fixed = 0, MESSAGE if "role" in content or kind in ("function_call", "function_call_output") else 0
    for name in ("content", "text", "arguments", "name", "output", "function", "tool_calls", "refusal"):
        if name in content:
            text, extra = _said(content[name], depth + 1)
            size, fixed = size + text, fixed + extra
    return size, fixed


def _written(value: Any, depth: int) -> int:
    """The bytes, as JSON has them, of what a model wrote in an event or an answer."""
    if depth > MAX_DEPTH:
        return 0
    if isinstance(value, list):
        return sum(_written(item, depth + 1) for item in value)
    if not isinstance(value, dict):
        return 0
    size = 0
    for name, item in value.items():
        if isinstance(item, str):
            size += len(msgspec.json.encode(item)) - 2 if name in TEXT else 0
        elif name == "input" and isinstance(item, dict):
            size += len(msgspec.json.encode(item))  # of a tool call in Anthropic's dialect
        else:
            size += _written(item, depth + 1)
    return size
