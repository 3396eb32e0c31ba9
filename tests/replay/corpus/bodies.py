"""Requests and answers that cases are made of."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["CHAT", "COMPLETIONS", "COUNT", "EMBEDDINGS", "MESSAGES", "RESPONSES", "body_for", "compact"]

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
COMPLETIONS = "/v1/completions"


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def body_for(path: str, model: str, said: str, **more: Any) -> bytes:
    """The smallest request that says `said`."""
    turns = [{"role": "user", "content": said}]
    bodies: dict[str, dict[str, Any]] = {
        CHAT: {"messages": turns},
        MESSAGES: {"max_tokens": 100, "messages": turns},
        COUNT: {"messages": turns},
        EMBEDDINGS: {"input": said},
        RESPONSES: {"input": said, "store": False},
        COMPLETIONS: {"prompt": said, "max_tokens": 20},
    }
    return compact({"model": model, **bodies[path], **more})
