"""What a message of Anthropic's has to have, where its parts come from another provider.

Clients read fields that its schema requires without asking whether they are there: each is here, null where there is
nothing to say. Shapes: anthropic-sdk-python 2.14, ``types/message.py``, ``types/usage.py``, ``types/*_block.py``,
``types/raw_message_*_event.py``; of ``types/beta`` what is more, for who names a beta.
"""

from __future__ import annotations

from typing import Any

from edge.dialects.translation import Context
from edge.hooks import Usage

__all__ = [
    "UNSIGNED",
    "delta",
    "delta_event",
    "delta_usage",
    "message",
    "redacted_block",
    "stop_details",
    "text_block",
    "thinking_block",
    "tool_use_block",
    "whole_usage",
]

UNSIGNED = ""
"""The signature of thinking that no Anthropic model has signed: `edge.dialects.openai_to_anthropic` drops it again."""
TIERS = {"default": "standard", "priority": "priority"}
"""``service_tier`` of OpenAI's answers -> ``types/usage.py``."""


def message(
    context: Context,
    message_id: str,
    model: str,
    content: list[dict[str, Any]],
    usage: dict[str, Any],
    stop: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A whole message, or with no `stop` (see `delta`) the empty one that a stream begins with."""
    made = {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "diagnostics": None,
        **(stop or delta(None, None)),
        "usage": usage,
    }
    return {**made, "context_management": None, "input_transformations": None} if context.beta else made


def delta(stop_reason: str | None, details: dict[str, Any] | None) -> dict[str, Any]:
    """How a message ended."""
    return {"container": None, "stop_details": details, "stop_reason": stop_reason, "stop_sequence": None}


def delta_event(context: Context, ending: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    """``message_delta``; `ending` is what `delta` gives."""
    made = {"type": "message_delta", "delta": ending, "usage": usage}
    return {**made, "context_management": None, "input_transformations": None} if context.beta else made


def stop_details(context: Context, explanation: str) -> dict[str, Any]:
    """Of a refusal: what the model says of it, "" if nothing."""
    made = {"type": "refusal", "category": None, "explanation": explanation or None}
    if context.beta:
        made |= {"fallback_credit_token": None, "fallback_has_prefill_claim": None, "recommended_model": None}
    return made


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None}


def thinking_block(thinking: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": thinking, "signature": UNSIGNED}


def redacted_block(data: str) -> dict[str, Any]:
    return {"type": "redacted_thinking", "data": data}


def tool_use_block(call_id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments, "caller": None, "toolset_name": None}


def whole_usage(context: Context, usage: Usage) -> dict[str, Any]:
    """``usage`` of a message."""
    written, long = max(0, usage.cache_write), usage.cache_write_long
    times = {"ephemeral_5m_input_tokens": written - long, "ephemeral_1h_input_tokens": long} if long > 0 else None
    return {
        **delta_usage(context, usage),
        "cache_creation": times,
        "inference_geo": usage.geo or None,
        "service_tier": TIERS.get(usage.service_tier),
        "speed": None,
    }


def delta_usage(context: Context, usage: Usage) -> dict[str, Any]:
    """``usage`` of ``message_delta``. Anthropic's input does not include what came from the cache or went into it."""
    searches = usage.web_searches
    made: dict[str, Any] = {
        "input_tokens": max(0, usage.input),
        "cache_creation_input_tokens": max(0, usage.cache_write),
        "cache_read_input_tokens": max(0, usage.cache_read),
        "output_tokens": max(0, usage.output),
        "output_tokens_details": {"thinking_tokens": usage.reasoning} if usage.reasoning > 0 else None,
        "server_tool_use": {"web_search_requests": searches, "web_fetch_requests": 0} if searches > 0 else None,
    }
    if context.beta:
        made |= {"fallback_credit": None, "iterations": None}
    if context.told is usage:
        made["estimated"] = True  # no field of Anthropic's: nobody has counted
    return made
