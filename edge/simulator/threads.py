"""Conversations that Anthropic keeps: the beta ``message-threads-2026-08-12``.

Shapes and rules from anthropic-sdk-python 2.14: ``types/beta/beta_message_thread_param.py``,
``types/thread_*_error_details.py``, ``lib/threads/_thread_state.py``. ``create`` keeps the conversation under the
answer's id; ``continue`` names that id and brings the new messages alone, for the server has ``system`` and ``tools``;
each answer can be gone on from once.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

from edge.simulator.openai import dumps

__all__ = ["BETA", "ThreadError", "Threads", "error"]

BETA = b"message-threads-2026-08-12"
CREATE_ONLY = ("system", "tools")
UNSUPPORTED = ("cache_control", "context_management", "fallbacks")
MAX_HELD = 1024


class ThreadError(Exception):
    """A refusal: its status, its words, and the ``details`` by which the SDKs act."""

    def __init__(self, status: int, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.details = details


@dataclass(slots=True)
class Held:
    fields: dict[str, Any]
    messages: list[Any]
    continued: bool = False


class Threads:
    """The conversations held, the oldest forgotten beyond `MAX_HELD`."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._numbers = itertools.count(1)

    def whole(self, body: dict[str, Any], betas: bytes) -> dict[str, Any]:
        """The request that a threaded one stands for: all its messages, and in ``thread`` the id of the answer to be.

        Raises ThreadError.
        """
        thread = body["thread"]
        if BETA not in betas:
            raise ThreadError(400, "thread: Extra inputs are not permitted")
        found = [name for name in UNSUPPORTED if body.get(name)]
        if found:
            details = {"error_code": "thread_unsupported_request", "unsupported": found}
            raise ThreadError(400, f"thread: not supported together with {', '.join(found)}", details)
        kind = thread.get("type") if isinstance(thread, dict) else None
        identity = {"type": kind, "id": f"msg_{next(self._numbers):024x}"}
        if kind == "create":
            return {**body, "thread": identity}
        if kind != "continue" or not isinstance(thread.get("previous_message_id"), str):
            raise ThreadError(400, "thread: Input should be 'create', or 'continue' with a previous_message_id")
        held = self._held.get(thread["previous_message_id"])
        if held is None:
            raise ThreadError(404, "No thread was found for previous_message_id.", {"error_code": "thread_not_found"})
        if held.continued:
            message = "previous_message_id has already been continued."
            raise ThreadError(400, message, {"error_code": "thread_already_continued"})
        repeated = [name for name in CREATE_ONLY if name in body]
        if repeated:
            raise ThreadError(400, f"{repeated[0]}: cannot be sent when a thread is continued")
        identity["after"] = thread["previous_message_id"]
        return {**held.fields, **body, "messages": [*held.messages, *body.get("messages", ())], "thread": identity}

    def keep(self, whole: dict[str, Any], answer: bytes) -> None:
        """Hold the conversation that `answer`, a message, ends now; what it went on from is used up."""
        if before := self._held.get(whole["thread"].get("after", "")):
            before.continued = True
        message = json.loads(answer)
        if len(self._held) >= MAX_HELD:
            del self._held[next(iter(self._held))]
        said = {"role": "assistant", "content": message["content"]}
        fields = {name: whole[name] for name in CREATE_ONLY if name in whole}
        self._held[message["id"]] = Held(fields, [*whole["messages"], said])


def error(refusal: ThreadError) -> bytes:
    """The body of a refusal."""
    kind = "not_found_error" if refusal.status == 404 else "invalid_request_error"
    fields: dict[str, Any] = {"type": kind, "message": str(refusal)}
    if refusal.details is not None:
        fields["details"] = refusal.details
    return dumps({"type": "error", "error": fields, "request_id": "req_simulator"})
