"""A whole chat completion of OpenAI's dialect, and its errors, as Anthropic's message.

Shapes: openai-python ``types/chat/chat_completion.py``, anthropic-sdk-python ``types/message.py``.
"""

from __future__ import annotations

from typing import Any

from edge.dialects import openai
from edge.dialects.error_translation import to_anthropic
from edge.dialects.estimate import estimate_answer
from edge.dialects.message import delta, stop_details, text_block, thinking_block, tool_use_block, whole_usage
from edge.dialects.message import message as made_message
from edge.dialects.scrubbed import printable
from edge.dialects.translation import (
    Context,
    anthropic_id,
    arguments_object,
    decode_answer,
    digest,
    encode,
    error_message,
    error_object,
)
from edge.errors import UpstreamBadResponse

__all__ = [
    "calls_in",
    "event_error",
    "invented_id",
    "stopped",
    "text_of",
    "translate_answer",
    "translate_error",
]

STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""``finish_reason`` -> ``types/stop_reason.py``."""


def translate_answer(body: bytes, context: Context, now: int = 0) -> bytes:
    """A message: thinking, text, calls of tools, in this order. `now` has no use here. Raises UpstreamBadResponse."""
    try:
        return _message(decode_answer(body), body, context)
    except (AttributeError, TypeError, RecursionError):
        raise UpstreamBadResponse("The provider's answer is no chat completion.") from None


def _message(answer: dict[str, Any], body: bytes, context: Context) -> bytes:
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict) or not isinstance(choice, dict):
        raise UpstreamBadResponse("The provider's answer has no choice.")
    message_id = answer.get("id") or f"msg_{context.request_id}"
    content: list[dict[str, Any]] = []
    if reasoning := text_of(message.get("reasoning_content") or message.get("reasoning")):
        content.append(thinking_block(reasoning))
    refusal = message.get("refusal")
    refusal = refusal if isinstance(refusal, str) else ""
    if text := text_of(message.get("content")) + refusal:
        content.append(text_block(text))
    calls = calls_in(message, context)
    for number, call in enumerate(calls):
        function = call.get("function") or {}
        arguments = arguments_object(function.get("arguments"))
        if arguments is None:
            context.warnings.add("arguments")
            arguments = {}
        name = function.get("name") or ""
        call_id = anthropic_id(call.get("id") or invented_id(message_id, number))
        content.append(tool_use_block(call_id, context.tool_names.get(name, name), arguments))
    usage = context.counted(openai.usage_of(body), lambda: estimate_answer(body))
    ending = stopped(choice.get("finish_reason"), context, calls=bool(calls), refusal=refusal)
    model = answer.get("model") or context.model
    return encode(made_message(context, message_id, model, content, whole_usage(context, usage), ending))


def calls_in(message: dict[str, Any], context: Context) -> list[dict[str, Any]]:
    """The calls of functions in a message of chat completions, that of old too; no request has named other tools."""
    calls = list(message.get("tool_calls") or ())
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [{"function": message["function_call"]}]
    kept = [call for call in calls if call.get("custom") is None]
    if len(kept) < len(calls):
        context.warnings.add("tool_call")
    return kept


def stopped(finish: Any, context: Context, *, calls: bool, refusal: str) -> dict[str, Any]:
    """How a message ended, for a ``finish_reason``; `refusal` is what the model said instead of an answer."""
    reason = stop_reason(finish, context, calls=calls, refused=bool(refusal))
    return delta(reason, stop_details(context, refusal) if reason == "refusal" else None)


def stop_reason(finish: Any, context: Context, *, calls: bool, refused: bool) -> str:
    """``stop_reason`` for a ``finish_reason``; what nobody knows is an end of turn, and a warning."""
    stop = STOPS.get(finish) if isinstance(finish, str) else None
    if stop is None:
        context.warnings.add("finish_reason")
        stop = "end_turn"
    if stop == "end_turn":
        # Some servers say "stop" after calls of tools; a client would wait for a user's turn.
        return "tool_use" if calls else "refusal" if refused else "end_turn"
    return stop


def text_of(content: Any) -> str:
    """A message's content as one text: a string, or the text parts some compatible servers answer with."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


def invented_id(message_id: str, number: int) -> str:
    """An id for a call that came without, the same whenever the same answer is read."""
    return "toolu_" + digest(f"{message_id}:{number}")[:24]


def translate_error(status: int, body: bytes, request_id: str = "") -> tuple[int, bytes]:
    """An error of OpenAI's dialect: the status and the body an Anthropic client gets.

    A body that is no JSON, a proxy's page say, is quoted in brief; keys are taken out of every message.
    """
    error = error_object(body)
    message = error_message(error, f"The provider answered {status}: {printable(body)}")
    status, fields = to_anthropic(status, error, message)
    return status, _envelope(fields, request_id)


def _envelope(fields: dict[str, Any], request_id: str) -> bytes:
    return encode({"type": "error", "error": fields, "request_id": request_id or None})


def event_error(error: Any, request_id: str) -> bytes:
    """The data of an ``error`` event for the ``error`` object of a chunk."""
    fields = error if isinstance(error, dict) else {"message": error}
    message = error_message(fields, "The provider broke off with an error.")
    return _envelope(to_anthropic(openai.status_of(fields), fields, message)[1], request_id)
