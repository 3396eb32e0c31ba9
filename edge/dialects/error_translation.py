"""An error of one API as the other's: status, type, code, and the numbers that clients read out of a message.

    cause             OpenAI                                  Anthropic
    context length    400 context_length_exceeded             400 "prompt is too long: 9 tokens > 8 maximum"
    quota, billing    429 or 402 insufficient_quota           402 billing_error, or 400 "credit balance is too low"
                      (both within streams alone: else it is the gateway's own 503, for the account is its operator's)
    content policy    400 content_policy_violation, ...       400 "... content filtering policy"
    overload          503 overloaded                          529 overloaded_error
    anything else     the same status, and the type and code that go with it

A code of OpenAI's that Anthropic's type does not tell is kept as ``details.error_code``, the place that API has for "a
stable code that names the cause" (anthropic-sdk-python ``_exceptions.py``), and is a code again on the way back.

Sources: https://platform.claude.com/docs/en/api/errors, openai-python ``_exceptions.py``, https://developers.openai.com/
api/docs/guides/error-codes; of vLLM, llama.cpp and OpenRouter, what they say of a prompt that is too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from edge.dialects import anthropic, openai

__all__ = ["is_blocked", "is_spent", "is_too_long", "to_anthropic", "to_openai"]

CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"})
QUOTA_CODES = frozenset(
    (
        *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated"),
        *("billing_error", "enforced_spend_limit_reached", "contract_spend_limit_reached"),
        *("exceeded_current_quota_error", "Arrearage"),  # Moonshot, Alibaba
    )
)
OVERLOAD_CODES = frozenset(
    ("overloaded", "overloaded_error", "server_overloaded", "server_is_overloaded", "engine_overloaded", "slow_down")
)
CONTENT = "content_policy_violation"
CONTENT_CODES = frozenset({CONTENT, "content_filter", "moderation_blocked"})
TOO_LONG = re.compile(
    r"prompt is too long|exceed context limit|maximum context length|model'?s context length"
    r"|exceeds? the (?:available )?context (?:size|window)|tokens exceed the configured limit",
    re.IGNORECASE,
)
BALANCE = re.compile(
    r"[^\"'`]{0,200}\b(credit balance is too low|reached your specified (workspace )?API usage limits)", re.IGNORECASE
)
"""What Anthropic says with 400. It is not quoted: that would be from the request."""
BLOCKED = re.compile(r"content filtering policy|blocked by content|flagged as potentially violating", re.IGNORECASE)

# What is in a message about a prompt that is too long. Each finds a number as its only group.
LIMITS = (
    re.compile(r"context (?:length|size|window)[^.\d]{0,40}?(\d[\d,]*)", re.IGNORECASE),
    re.compile(r"configured limit of (\d[\d,]*)", re.IGNORECASE),
)
TOTALS = (re.compile(r"requested (?:about )?(\d[\d,]*) tokens", re.IGNORECASE),)
PROMPTS = (
    re.compile(r"resulted in (\d[\d,]*) tokens", re.IGNORECASE),
    re.compile(r"(\d[\d,]*) (?:prompt|input) tokens", re.IGNORECASE),
    re.compile(r"request \((\d[\d,]*) tokens\)", re.IGNORECASE),
)
OUTPUTS = (
    re.compile(r"(\d[\d,]*) (?:in the completion|in the output|output tokens)", re.IGNORECASE),
    re.compile(r"is too large: (\d[\d,]*)", re.IGNORECASE),
)
PROMPT_OVER = re.compile(r"prompt is too long: (\d+) tokens > (\d+) maximum", re.IGNORECASE)
SUM_OVER = re.compile(r"exceed context limit: (\d+) \+ (\d+) > (\d+)", re.IGNORECASE)

CODES = {
    401: "invalid_api_key",
    402: "insufficient_quota",
    404: "model_not_found",
    413: "request_too_large",
    429: "rate_limit_exceeded",
    503: "overloaded",
    504: "timeout",
}
"""OpenAI's codes for what Anthropic's types say."""
SAID_BY_TYPE = frozenset(
    (*CODES.values(), *QUOTA_CODES, *OVERLOAD_CODES, *openai.STATUS, *anthropic.STATUS, "internal_server_error")
) - {"content_filter", CONTENT, "invalid_prompt", "context_length_exceeded"}
"""Codes that need no ``details``: the type of the error is all they say."""
CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}")


def is_spent(status: int, words: Iterable[str], message: str) -> bool:
    """Whether an error, by its type and code or its message, says that the account has no money or may spend no more of
    it. "You exceeded your current quota" does not: Google says that of the requests of a minute.
    """
    return (
        status == 402
        or not QUOTA_CODES.isdisjoint(words)
        or (status in (400, 403) and BALANCE.match(message) is not None)
    )


def is_too_long(status: int, words: Iterable[str], message: str) -> bool:
    """Whether an error, by its type and code or its message, says that the request has more tokens than the model can
    take.
    """
    return 400 <= status <= 500 and (
        not CONTEXT_CODES.isdisjoint(words) or (status in (400, 413, 422, 500) and TOO_LONG.search(message) is not None)
    )


def is_blocked(status: int, words: Iterable[str], message: str) -> bool:
    """Whether it says that the provider's policy does not allow what the request says."""
    return status in (400, 403) and (not CONTENT_CODES.isdisjoint(words) or BLOCKED.search(message) is not None)


def to_anthropic(status: int, error: dict[str, Any], message: str) -> tuple[int, dict[str, Any]]:
    """The status and the ``error`` object for an error of OpenAI's. `message` is what it says, free of secrets."""
    words = _words(error)
    code = _code(error)
    fields: dict[str, Any] = {}
    if words & CONTEXT_CODES or (status in (400, 413, 422, 500) and TOO_LONG.search(message)):
        status, message, code = 400, _too_long(error, message), "context_length_exceeded"
    elif is_spent(status, words, message):
        status = 402
    elif status == 503 or words & OVERLOAD_CODES:
        status = 529
    fields |= {"type": anthropic.error_type(status), "message": message}
    if code and code not in SAID_BY_TYPE and code != fields["type"]:
        fields["details"] = {"error_code": code}
    return status, fields


def to_openai(status: int, error: dict[str, Any], message: str) -> tuple[int, dict[str, Any]]:
    """The status and the ``error`` object for an error of Anthropic's. `message` is what it says, free of secrets."""
    details = error.get("details")
    code = _code({"code": details.get("error_code")}) if isinstance(details, dict) else ""
    kind, param = "", None
    if code in CONTEXT_CODES or (status in (400, 413) and TOO_LONG.search(message)):
        status, code, param, message = 400, "context_length_exceeded", "messages", _exceeded(message)
    elif is_spent(status, {code}, message):
        status, code, kind = 402, "insufficient_quota", "insufficient_quota"
    elif status == 400 and not code and BLOCKED.search(message):
        code = CONTENT
    elif status == 529:
        status = 503
    kind = kind or openai.error_type(status)
    return status, {"message": message, "type": kind, "param": param, "code": code or CODES.get(status)}


def _code(error: dict[str, Any]) -> str:
    """The ``code`` of an error, "" where it is none that may be passed on."""
    code = error.get("code")
    return code if isinstance(code, str) and CODE.fullmatch(code) else ""


def _words(error: dict[str, Any]) -> set[str]:
    return {value for value in (error.get("code"), error.get("type")) if isinstance(value, str)}


def _too_long(error: dict[str, Any], message: str) -> str:
    """Anthropic's sentence, by whose numbers clients know how much to leave out."""
    if PROMPT_OVER.search(message) or SUM_OVER.search(message):
        return message
    limit = _number(error.get("n_ctx")) or _found(LIMITS, message)
    output = _found(OUTPUTS, message)
    prompt = _number(error.get("n_prompt_tokens")) or _found(PROMPTS, message)
    if not prompt and (total := _found(TOTALS, message)) is not None:
        prompt = total - (output or 0)
    if limit and prompt and output and prompt <= limit:
        return (
            f"input length and `max_tokens` exceed context limit: {prompt} + {output} > {limit}, "
            "decrease input length or `max_tokens` and try again"
        )
    if limit and prompt and prompt > limit:
        return f"prompt is too long: {prompt} tokens > {limit} maximum"
    return message if "prompt is too long" in message.lower() else f"prompt is too long: {message}"


def _exceeded(message: str) -> str:
    """OpenAI's sentence, by whose numbers clients know how much to leave out."""
    if match := PROMPT_OVER.search(message):
        prompt, limit = match.groups()
        said = f"your messages resulted in {prompt} tokens. Please reduce the length of the messages."
        return f"This model's maximum context length is {limit} tokens. However, {said}"
    if match := SUM_OVER.search(message):
        prompt, output, limit = match.groups()
        parts = f"({prompt} in the messages, {output} in the completion)"
        said = f"you requested {int(prompt) + int(output)} tokens {parts}."
        end = "Please reduce the length of the messages or completion."
        return f"This model's maximum context length is {limit} tokens. However, {said} {end}"
    return message


def _found(patterns: tuple[re.Pattern[str], ...], message: str) -> int | None:
    for pattern in patterns:
        if (match := pattern.search(message)) is not None:
            return _number(match[1].replace(",", ""))
    return None


def _number(value: Any) -> int | None:
    """A number of tokens, None for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**15 else None
