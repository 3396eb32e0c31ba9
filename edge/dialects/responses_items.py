"""The words of OpenAI's Responses: items, parts, ids, counts, and how a response ends.

Shapes: openai-python 3.57, ``types/responses/response_output_item.py``, ``response_input_item_param.py``,
``response.py``, ``response_usage.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from edge.hooks import Usage

__all__ = [
    "ECHOED",
    "INCOMPLETE",
    "ClientTool",
    "base_of",
    "call_item",
    "custom_call_item",
    "item_id",
    "message_item",
    "output_text",
    "reasoning_item",
    "refusal_part",
    "response_id",
    "responses_usage",
    "search_item",
    "summary_text",
]

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""``finish_reason`` of a chat completion -> ``incomplete_details.reason`` of a response."""
ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "auto",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
"""What a response says of its request, with what OpenAI says where that says nothing."""
UNSAFE = re.compile(r"[^A-Za-z0-9]")
MAX_BASE = 48
"""Ids have up to 64 characters."""


@dataclass(frozen=True, slots=True)
class ClientTool:
    """What a function stands for, at an API that has functions alone: ``kind`` is ``function``, ``custom``,
    ``tool_search`` or one of `edge.dialects.responses_shell.KINDS`.
    """

    kind: str
    name: str
    namespace: str = ""


def base_of(given: str) -> str:
    """What the ids of one response have in common, from the id that its provider gave: ``msg_01AB``, ``chatcmpl-x``."""
    return UNSAFE.sub("", re.sub(r"\A[a-z]+[_-]", "", given))[:MAX_BASE] or "0"


def response_id(base: str) -> str:
    return f"resp_{base}"


def item_id(kind: str, base: str, number: int) -> str:
    """The id of the item at `number` of a response's output: ``msg``, ``rs``, ``fc``, ``ctc``, ``ws`` is its `kind`."""
    return f"{kind}_{base}_{number}"


def output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def refusal_part(refusal: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": refusal}


def summary_text(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def message_item(own_id: str, content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    return {"id": own_id, "type": "message", "status": status, "content": content, "role": "assistant"}


def reasoning_item(own_id: str, summary: list[dict[str, Any]], encrypted: str | None = None) -> dict[str, Any]:
    """Without `encrypted` it cannot be thought of again."""
    item: dict[str, Any] = {"id": own_id, "type": "reasoning", "summary": summary}
    if encrypted is not None:
        item["encrypted_content"] = encrypted
    return item


def call_item(own_id: str, call_id: str, name: str, arguments: str, status: str = "completed") -> dict[str, Any]:
    return {
        "id": own_id,
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": call_id,
        "name": name,
    }


def custom_call_item(own_id: str, call_id: str, name: str, text: str, status: str = "completed") -> dict[str, Any]:
    return {
        "id": own_id,
        "type": "custom_tool_call",
        "status": status,
        "call_id": call_id,
        "input": text,
        "name": name,
    }


def search_item(own_id: str, query: str, status: str = "completed") -> dict[str, Any]:
    """A search of the web that the provider made."""
    action = {"type": "search", "query": query, "queries": [query] if query else []}
    return {"id": own_id, "type": "web_search_call", "status": status, "action": action}


def responses_usage(usage: Usage, *, estimated: bool = False) -> dict[str, Any]:
    """``types/responses/response_usage.py``, with a mark where nobody has counted. The input includes what came from
    the cache and what went into it.
    """
    read, written = max(0, usage.cache_read), max(0, usage.cache_write)
    given, output = max(0, usage.input) + read + written, max(0, usage.output)
    counts = {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": max(0, usage.reasoning)},
        "total_tokens": given + output,
    }
    return {**counts, "estimated": True} if estimated else counts
