"""Credits for the retry of a refused request: ``fallback_credit_token`` of Anthropic's beta.

Shapes and rules from anthropic-sdk-python 2.14: ``types/beta/message_create_params.py``,
``types/beta/beta_refusal_stop_details.py``, ``types/beta/beta_fallback_credit_usage.py``. A refusal brings a token; the
same conversation, or the same with what the refused model had said, redeems it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["check", "outcome", "token_for"]

PREFIX = "fct_"


def token_for(body: dict[str, Any]) -> str:
    """The token that the refusal of a request brings."""
    return _seal(body, body.get("messages") or [])


def check(body: dict[str, Any]) -> str | None:
    """Why a request is refused for its token, None if it is not."""
    given = body.get("fallback_credit_token")
    if given is None:
        return None
    token = given.get("token") if isinstance(given, dict) else given
    if not isinstance(token, str) or not token.startswith(PREFIX):
        return "fallback_credit_token: Input should be a token from the stop_details of a refusal"
    if isinstance(given, dict) and given.get("mode", "strict") not in ("strict", "best_effort"):
        return "fallback_credit_token.mode: Input should be 'strict' or 'best_effort'"
    if body.get("fallbacks"):
        return "fallback_credit_token: cannot be combined with fallbacks"
    if not _redeems(body, token) and not (isinstance(given, dict) and given.get("mode") == "best_effort"):
        return "fallback_credit_token: the request is not the one that was refused"
    return None


def outcome(body: dict[str, Any]) -> dict[str, Any] | None:
    """``usage.fallback_credit`` of the answer to a request that passed `check`."""
    given = body.get("fallback_credit_token")
    if given is None:
        return None
    token = given["token"] if isinstance(given, dict) else given
    redeemed = {"type": "redeemed"} if _redeems(body, token) else {"type": "not_applied", "reason": "body_mismatch"}
    return {"status": redeemed}


def _redeems(body: dict[str, Any], token: str) -> bool:
    messages = body.get("messages") or []
    forms = [messages]
    if messages and messages[-1].get("role") == "assistant":
        forms.append(messages[:-1])
    return any(_seal(body, form) == token for form in forms)


def _seal(body: dict[str, Any], messages: list[Any]) -> str:
    sealed = [body.get("system"), messages, body.get("tools")]
    return PREFIX + hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()[:32]
