"""A chat completion that is made of another API's answer.

Shapes: openai-python 3.57 ``types/chat/chat_completion.py``. ``reasoning_content`` and ``thinking_blocks`` are
extensions: the second is what a request brings back, signatures and all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge.dialects.translation import Context, openai_usage
from edge.hooks import Usage

__all__ = ["TIERS", "Said", "completion"]

TIERS = frozenset(("auto", "default", "flex", "scale", "priority", "fast"))
"""What ``service_tier`` may be: Responses have more."""


@dataclass(slots=True)
class Said:
    """What an answer says: ``thinking`` are its thoughts, ``reasoning`` what of them may be read; ``calls`` the entries
    of ``tool_calls``.
    """

    content: str = ""
    refusal: str = ""
    reasoning: str = ""
    thinking: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def message(self, context: Context) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self.content or None,
            "refusal": self.refusal or None,
        }
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.thinking:
            message["thinking_blocks"] = self.thinking
        if self.annotations:
            message["annotations"] = self.annotations
        if context.legacy_functions and self.calls and "function" in self.calls[0]:
            message["function_call"] = self.calls[0]["function"]
        elif self.calls:
            message["tool_calls"] = self.calls
        return message


def completion(
    answer: dict[str, Any], said: Said, finish: str, usage: Usage, context: Context, now: int
) -> dict[str, Any]:
    """The whole of it, created at `now` in unix seconds, with the id and the model that the provider's `answer` has."""
    choice = {"index": 0, "message": said.message(context), "logprobs": None, "finish_reason": finish}
    return {
        "id": answer.get("id") or f"chatcmpl-{context.request_id or now}",
        "object": "chat.completion",
        "created": now,
        "model": answer.get("model") or context.model,
        "choices": [choice],
        "usage": openai_usage(usage, estimated=context.told is not None),
    }
