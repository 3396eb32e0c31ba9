"""Requests and answers that cases are made of."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["CHAT", "COMPLETIONS", "COUNT", "EMBEDDINGS", "MESSAGES", "RESPONSES", "body_for", "compact", "faulty_model"]

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


def faulty_model(provider: str, fault: str, case: int) -> str:
    """The simulator's model of a fault. One that asks to be left alone is the case's own, since the next one would find
    the key resting: words that an error does not have make it so.
    """
    alone = f"-words-{100 + case}" if fault.startswith(("429", "503", "529")) else ""
    return f"{provider}/sim-{fault}{alone}"
