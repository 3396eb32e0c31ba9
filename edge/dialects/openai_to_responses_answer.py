"""A whole chat completion as a response of OpenAI's Responses.

Shapes: openai-python 3.57, ``types/chat/chat_completion.py``, ``types/responses/response.py``.
"""

from __future__ import annotations

from typing import Any

from edge.dialects import openai
from edge.dialects.estimate import estimate_answer
from edge.dialects.openai_to_anthropic_answer import calls_in, invented_id, text_of
from edge.dialects.responses_fields import renamed
from edge.dialects.responses_items import INCOMPLETE
from edge.dialects.responses_writer import ResponseWriter
from edge.dialects.scrubbed import printable
from edge.dialects.translation import Context, decode_answer, encode, error_message, error_object
from edge.errors import UpstreamBadResponse

__all__ = ["cited", "stopped", "translate_answer", "translate_error"]

FINISHED = frozenset(("stop", "tool_calls", "function_call", *INCOMPLETE))


def translate_answer(body: bytes, context: Context, now: int) -> bytes:
    """A response: what was thought, said, cited and called, in this order. Raises UpstreamBadResponse."""
    try:
        return _response(decode_answer(body), body, context, now)
    except (AttributeError, TypeError, RecursionError):
        raise UpstreamBadResponse("The provider's answer is no chat completion.") from None


def _response(answer: dict[str, Any], body: bytes, context: Context, now: int) -> bytes:
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict) or not isinstance(choice, dict):
        raise UpstreamBadResponse("The provider's answer has no choice.")
    writer = ResponseWriter(context, now, False)
    writer.begin(answer.get("id"), answer.get("model"))
    writer.thought(text_of(message.get("reasoning_content") or message.get("reasoning")))
    writer.text(text_of(message.get("content")))
    writer.annotate(cited(message.get("annotations")))
    refusal = message.get("refusal")
    writer.refusal(refusal if isinstance(refusal, str) else "")
    for number, call in enumerate(calls_in(message, context)):
        function = call.get("function") or {}
        call_id = call.get("id") or invented_id(answer.get("id") or context.request_id, number)
        writer.call(call_id, function.get("name") or "")
        arguments = function.get("arguments")
        writer.arguments(arguments if isinstance(arguments, str) else encode(arguments or {}).decode())
    usage = context.counted(openai.usage_of(body), lambda: estimate_answer(body))
    return encode(writer.end(usage, stopped(choice.get("finish_reason"), context)))


def translate_error(status: int, body: bytes, request_id: str = "") -> tuple[int, bytes]:
    """An error of chat completions: the status and the body a client of Responses gets, in its own words.

    OpenAI's envelope has no place for `request_id`. A body that is no JSON, a proxy's page say, is quoted in brief;
    keys are taken out of every message.
    """
    error = error_object(body)
    message = error_message(error, f"The provider answered {status}: {printable(body)}")
    kind, code, param = (
        value if isinstance(value, str) else None for value in map(error.get, ("type", "code", "param"))
    )
    fields = {"message": message, "type": kind or openai.error_type(status), "param": renamed(param or "") or None}
    return status, encode({"error": {**fields, "code": code}})


def stopped(finish: Any, context: Context) -> str:
    """Why a response is incomplete, "" for one that is not, by a ``finish_reason``."""
    if not isinstance(finish, str) or finish not in FINISHED:
        context.warnings.add("finish_reason")
        return ""
    return INCOMPLETE.get(finish, "")


def cited(annotations: Any) -> list[dict[str, Any]]:
    """``annotations`` of a chat completion as those of a text."""
    listed = annotations if isinstance(annotations, list) else ()
    found = [each.get("url_citation") for each in listed if isinstance(each, dict)]
    return [{"type": "url_citation", **each} for each in found if isinstance(each, dict)]
