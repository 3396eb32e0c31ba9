"""What a response of OpenAI's says, for clients of other APIs: its thoughts, its texts, and how it ended.

Shapes: openai-python 3.57, ``types/responses/response.py``, ``response_output_item.py``.
"""

from __future__ import annotations

from typing import Any

from edge.dialects.sealed import Seal
from edge.dialects.texts import without_stand_ins

__all__ = ["FINISH", "KNOWN", "QUIET", "finish_of", "sealed_thought", "text_in", "thought_in"]

KNOWN = frozenset(("message", "reasoning", "function_call", "custom_tool_call", "web_search_call"))
"""Items that clients of other APIs are told of, or that what they are told comes of. The rest are about tools that
their requests cannot name."""
FINISH = {"max_output_tokens": "length", "max_tokens": "length", "content_filter": "content_filter"}
"""``incomplete_details.reason`` -> the ``finish_reason`` of a chat completion."""
KEPT = ("id", "type", "summary", "content", "encrypted_content")
"""What of a reasoning item goes back with the next request."""
PARAGRAPH = "\n\n"
"""Between the parts of a summary."""
QUIET = frozenset(
    (
        *(b"response.queued", b"response.content_part.added", b"response.content_part.done", b"keepalive"),
        *(b"response.output_text.done", b"response.refusal.done", b"response.output_text.annotation.added"),
        *(b"response.reasoning_summary_text.done", b"response.reasoning_summary_part.done"),
        *(b"response.reasoning_text.done", b"response.compaction.compacting", b"response.reasoning_summary_part.added"),
        *(b"response.function_call_arguments.done", b"response.custom_tool_call_input.delta"),
        *(b"response.custom_tool_call_input.done", b"response.web_search_call.in_progress"),
        *(b"response.web_search_call.searching", b"response.web_search_call.completed"),
    )
)
"""Events that say nothing that others do not."""


def thought_in(item: dict[str, Any]) -> str:
    """What of a thought may be read: its summary, else itself, where a server shows that."""
    for field in ("summary", "content"):
        parts = item.get(field)
        texts = [part.get("text") for part in parts or () if isinstance(part, dict)] if isinstance(parts, list) else []
        if text := PARAGRAPH.join(text for text in texts if isinstance(text, str) and text):
            return text
    return ""


def sealed_thought(item: dict[str, Any], seal: Seal, before: str = "") -> str:
    """The envelope in which a thought goes by another API, "" for one that cannot be thought of again. `before` is the
    id of the call that it led to.
    """
    if not isinstance(item.get("encrypted_content"), str) or not item["encrypted_content"]:
        return ""
    kept = {name: item[name] for name in KEPT if item.get(name) is not None}
    text = thought_in(item)
    if without_stand_ins(text) != text:  # of a large answer: what is shown of it is no part of what is thought
        kept = {name: value for name, value in kept.items() if name != "content"} | {"summary": []}
    return seal.reasoning({**kept, "before": before} if before else kept)


def text_in(item: dict[str, Any]) -> tuple[str, str]:
    """The text of a message, and what of it is a refusal."""
    texts: list[str] = []
    refusals: list[str] = []
    for part in item.get("content") or ():
        text = part.get("text") if part.get("type") == "output_text" else part.get("refusal")
        if isinstance(text, str):
            texts.append(text)
            if part.get("type") == "refusal":
                refusals.append(text)
    return "".join(texts), "".join(refusals)


def finish_of(response: dict[str, Any], *, calls: bool) -> str | None:
    """The ``finish_reason`` that says how a response ended; None for an end that nobody knows."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return FINISH.get(reason) if isinstance(reason, str) else None
    return "tool_calls" if calls else "stop"
