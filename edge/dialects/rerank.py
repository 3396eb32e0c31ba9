"""What an answer of ``/rerank`` says of its tokens.

There is no one API of it: Jina's, Voyage's, vLLM's and llama.cpp's answers have ``usage.total_tokens`` or
``prompt_tokens`` (https://jina.ai/reranker, https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html),
Cohere's has ``meta.billed_units`` (https://docs.cohere.com/reference/rerank), which are searches, or tokens.
"""

from __future__ import annotations

import msgspec

from edge.errors import UNREADABLE
from edge.hooks import Usage

__all__ = ["rerank_usage"]


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Units(msgspec.Struct):
    input_tokens: float | None = None


class _Meta(msgspec.Struct):
    billed_units: _Units | None = None
    tokens: _Units | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None
    meta: _Meta | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def rerank_usage(body: bytes) -> Usage | None:
    """None where it says nothing of tokens. Nothing is written, so there is no output."""
    try:
        answer = _decode(body)
    except UNREADABLE:
        return None
    found: float | None = None
    if answer.usage is not None:
        found = answer.usage.total_tokens if answer.usage.prompt_tokens is None else answer.usage.prompt_tokens
    elif answer.meta is not None:
        units = [each for each in (answer.meta.billed_units, answer.meta.tokens) if each is not None]
        found = next((each.input_tokens for each in units if each.input_tokens is not None), None)
    return None if found is None or not 0 <= found < 1 << 53 else Usage(int(found), 0)
