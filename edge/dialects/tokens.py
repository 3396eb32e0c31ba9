"""How many tokens a messages request would be, where no provider can be asked: an estimate, and named one.

Parts are counted by their size, for an answer in microseconds and without a vendor's tokenizer:

* text, names and JSON: 4 bytes of UTF-8 a token, 3 for models since Claude Opus 4.7, whose tokenizer makes about 30%
  more tokens of the same text (https://platform.claude.com/docs/en/models/sonnet-5/migration-guide);
* each message, and each block of it: 4 more;
* tools: 500 for the instructions that come with them, what recent models count (older ones 346, by
  https://platform.claude.com/docs/en/agents-and-tools/tool-use), and 12 for each;
* a structured output: 180 and its schema; thinking: 30;
* an image: 1,600, what a picture of full size comes to (https://platform.claude.com/docs/en/build-with-claude/vision);
* a PDF: 2,000 a page of 50 kB (https://platform.claude.com/docs/en/build-with-claude/pdf-support: 1,500 to 3,000 for
  text).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge._fast import BodyText, Scanned, UsualMessages
from edge.dialects.billing import without_billing
from edge.dialects.models import anthropic_model
from edge.dialects.translation import decode, encode, portions_of
from edge.slices import Steps

__all__ = ["USUAL", "count_answer", "decoded_tokens", "estimate_steps", "estimate_tokens", "known_tokens"]

IMAGE = 1600
PAGE = 2000
PAGE_BYTES = 50_000
TOOLS = 500
FORMAT = 180
THINKING = 30
TOOL = 12
MESSAGE = BLOCK = 4
MAX_DEPTH = 16
Measure = Callable[[str | bytes], int]
USUAL = UsualMessages()
"""Nearly all requests are measured by it."""


def estimate_tokens(body: bytes | dict[str, Any]) -> int:
    """The input tokens of a messages or ``count_tokens`` request. Raises InvalidJSON, InvalidRequest."""
    if isinstance(body, bytes):
        request = USUAL
        if request.read(body):
            return _at_rate(request.model, request.text + request.schemas, _fixed(request))
        body = decode(body)
    return decoded_tokens(body)


def known_tokens(model: str, scan: Scanned, sizes: BodyText) -> int:
    """The same of a body whose text is known by its form: `sizes` are those of its scan."""
    return _at_rate(model, scan.text_bytes + scan.schema_bytes, _fixed(sizes))


def _fixed(request: UsualMessages | BodyText) -> int:
    """What does not depend on how long its texts are."""
    fixed: int = MESSAGE * request.messages + IMAGE * request.images + (THINKING if request.thinks else 0)
    return fixed + (TOOLS + TOOL * request.tools if request.tools else 0)


def decoded_tokens(body: dict[str, Any]) -> int:
    """The same of any, by all that it says."""
    request = without_billing(body)
    return _tokens(request, *_measured(request, _bytes))


def estimate_steps(request: dict[str, Any], measure: Measure) -> Steps[int]:
    """The same of a request whose texts and JSON have so many bytes of UTF-8 as `measure` says."""
    request = without_billing(request)
    size = fixed = 0
    for part in portions_of(request):
        text, extra = _measured(part, measure)
        size, fixed = size + text, fixed + extra
        yield
    return _tokens(request, size, fixed)


def _bytes(text: str | bytes) -> int:
    return len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))


def _measured(request: dict[str, Any], measure: Measure) -> tuple[int, int]:
    size, fixed = _size(request.get("system"), 0, measure)
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        text, extra = _size(content, 0, measure)
        size, fixed = size + text, fixed + extra + MESSAGE
    tools = request.get("tools")
    if isinstance(tools, list) and tools:
        size += sum(measure(encode(tool)) for tool in tools)
        fixed += TOOLS + TOOL * len(tools)
    config = request.get("output_config")
    if isinstance(config, dict) and config.get("format"):
        size, fixed = size + measure(encode(config["format"])), fixed + FORMAT
    thinking = request.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        fixed += THINKING
    return size, fixed


def _tokens(request: dict[str, Any], size: int, fixed: int) -> int:
    return _at_rate(str(request.get("model")), size, fixed)


def _at_rate(model: str, size: int, fixed: int) -> int:
    new_tokenizer = not anthropic_model(model).sampling
    return max(1, size // (3 if new_tokenizer else 4) + fixed)


def count_answer(tokens: int, api: str = "count_tokens") -> bytes:
    """``types/message_tokens_count.py`` or, of OpenAI's API, ``types/responses/input_token_count_response.py``, with a
    mark that nobody counted.
    """
    told = {"input_tokens": tokens, "estimated": True}
    return encode(told if api == "count_tokens" else {"object": "response.input_tokens", **told})


def _size(content: Any, depth: int, measure: Measure) -> tuple[int, int]:
    """The bytes of text in a block or a list of them, and the tokens of what is no text."""
    if isinstance(content, str):
        return measure(content), 0
    if isinstance(content, list):
        size = fixed = 0
        for part in content:
            text, extra = _size(part, depth + 1, measure)
            size, fixed = size + text, fixed + extra + BLOCK
        return size, fixed
    if not isinstance(content, dict) or depth > MAX_DEPTH:
        return 0, 0
    kind, source = content.get("type"), content.get("source")
    if kind == "image":
        return 0, IMAGE
    if kind == "document" and isinstance(source, dict):
        if source.get("type") == "base64":
            return 0, PAGE * (1 + measure(str(source.get("data"))) * 3 // 4 // PAGE_BYTES)
        if source.get("type") in ("url", "file"):
            return 0, PAGE
        return _size(source.get("data") or source.get("content"), depth + 1, measure)
    if kind == "tool_use":
        return measure(encode(content.get("input"))) + len(str(content.get("name"))), BLOCK
    if kind in ("tool_result", "search_result", "compaction"):
        return _size(content.get("content"), depth + 1, measure)
    return _size(content.get("text") or content.get("thinking") or content.get("data") or "", depth + 1, measure)
