"""A whole message of Anthropic's, and its errors, as OpenAI's chat completion.

Shapes: anthropic-sdk-python ``types/message.py``, openai-python ``types/chat/chat_completion.py``.
``reasoning_content`` and ``thinking_blocks`` are extensions: the second is what `edge.dialects.openai_to_anthropic`
takes back, signature and all.
"""

from __future__ import annotations

from typing import Any

from edge.dialects import anthropic
from edge.dialects.chat_completion import Said, completion
from edge.dialects.error_translation import to_openai
from edge.dialects.estimate import estimate_answer
from edge.dialects.scrubbed import printable
from edge.dialects.translation import (
    Context,
    decode_answer,
    encode,
    error_message,
    error_object,
    original_id,
)
from edge.errors import UpstreamBadResponse

__all__ = [
    "annotation",
    "arguments_text",
    "event_error",
    "finish_reason",
    "refusal",
    "translate_answer",
    "translate_error",
]

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "stop",
}
"""``types/stop_reason.py`` -> ``finish_reason``. A pause is no end, but OpenAI has no word for it."""


def translate_answer(body: bytes, context: Context, now: int) -> bytes:
    """A chat completion, created at `now` in unix seconds. Raises UpstreamBadResponse."""
    try:
        return _completion(decode_answer(body), body, context, now)
    except (AttributeError, TypeError, RecursionError):
        raise UpstreamBadResponse("The provider's answer is no message.") from None


def _completion(message: dict[str, Any], body: bytes, context: Context, now: int) -> bytes:
    texts: list[str] = []
    position = 0
    thinking: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    output: str | None = None
    for block in _blocks(message):
        kind = block.get("type")
        if kind == "text":
            text = block.get("text") or ""
            end = position + context.length(text)
            noted = (annotation(citation, position, end) for citation in block.get("citations") or ())
            annotations.extend(item for item in noted if item is not None)
            texts.append(text)
            position = end
        elif kind == "tool_use":
            arguments = arguments_text(block.get("input"), context)
            if context.output_tool and block.get("name") == context.output_tool:
                output = arguments
            else:
                calls.append(_call(block, arguments, context))
        elif kind == "thinking":
            thought, signature = block.get("thinking") or "", block.get("signature") or ""
            if thought or signature:  # a model may keep its thinking to itself, and prove it all the same
                thinking.append({"type": kind, "thinking": thought, "signature": signature})
        elif kind == "redacted_thinking" and block.get("data"):
            thinking.append({"type": kind, "data": block["data"]})
    stop = message.get("stop_reason")
    said = Said(
        content="".join(texts) if output is None else output,
        refusal=(refusal(message.get("stop_details")) or "") if stop == "refusal" else "",
        reasoning="".join(block.get("thinking", "") for block in thinking),
        thinking=thinking,
        annotations=annotations if output is None else [],
        calls=calls,
    )
    finish = finish_reason(stop, context, calls=bool(calls), output=output is not None)
    usage = context.counted(anthropic.usage_of(body), lambda: estimate_answer(body))
    made = completion(message, said, finish, usage, context, now)
    if stop == "pause_turn":
        made["choices"][0]["native_finish_reason"] = stop
    return encode(made)


def _blocks(message: dict[str, Any]) -> list[Any]:
    """Raises UpstreamBadResponse for what has none: an error told with status 200, say."""
    content = message.get("content")
    if not isinstance(content, list):
        raise UpstreamBadResponse("The provider's answer has no content.")
    return content


def arguments_text(value: Any, context: Context) -> str:
    """A call's ``input`` as ``arguments``: what is no object becomes an empty one, and a warning."""
    if value is not None and not isinstance(value, dict):
        context.warnings.add("arguments")
        value = None
    return encode(value or {}).decode()


def finish_reason(stop: Any, context: Context, *, calls: bool, output: bool) -> str:
    """``finish_reason`` for a ``stop_reason``; one nobody knows is a plain stop, and a warning."""
    finish = FINISH.get(stop) if isinstance(stop, str) else None
    if finish is None:
        context.warnings.add("stop_reason")
        finish = "tool_calls" if calls else "stop"
    if finish == "tool_calls":
        if output and not calls:
            return "stop"
        if context.legacy_functions:
            return "function_call"
    return finish


def refusal(details: Any) -> str | None:
    """What the model said of its refusal (``types/refusal_stop_details.py``), None if nothing."""
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) and explanation else None


def annotation(citation: Any, start: int, end: int) -> dict[str, Any] | None:
    """A citation of a web page as ``annotations[]``, from character `start` to `end`; None for any other kind."""
    url = citation.get("url") if isinstance(citation, dict) else None
    if not isinstance(url, str):
        return None
    fields = {"start_index": start, "end_index": end, "title": citation.get("title") or "", "url": url}
    return {"type": "url_citation", "url_citation": fields}


def _call(block: dict[str, Any], arguments: str, context: Context) -> dict[str, Any]:
    name = block.get("name") or ""
    function = {"name": context.tool_names.get(name, name), "arguments": arguments}
    return {"id": original_id(block.get("id") or ""), "type": "function", "function": function}


def translate_error(status: int, body: bytes, request_id: str = "") -> tuple[int, bytes]:
    """An error of Anthropic's: the status and the body an OpenAI client gets.

    OpenAI's envelope has no place for `request_id`. A body that is no JSON, a proxy's page say, is quoted in brief;
    keys are taken out of every message.
    """
    error = error_object(body)
    message = error_message(error, f"The provider answered {status}: {printable(body)}")
    status, fields = to_openai(status, error, message)
    return status, encode({"error": fields})


def event_error(data: bytes) -> dict[str, Any]:
    """The ``error`` object for an ``error`` event."""
    error = error_object(data)
    kind = error.get("type")
    status = anthropic.STATUS.get(kind, 500) if isinstance(kind, str) else 502
    return to_openai(status, error, error_message(error, "The provider broke off with an error."))[1]
