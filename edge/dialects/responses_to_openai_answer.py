"""A whole response of OpenAI's, and its errors, as its chat completion.

Shapes: openai-python 3.57 ``types/responses/response.py``, ``types/chat/chat_completion.py``. ``reasoning_content`` and
``thinking_blocks`` are extensions: the second is what `edge.dialects.openai_to_responses` takes back.
"""

from __future__ import annotations

from typing import Any

from edge.dialects import openai
from edge.dialects.chat_completion import TIERS, Said, completion
from edge.dialects.estimate import estimate_answer
from edge.dialects.responses_output import KNOWN, PARAGRAPH, finish_of, sealed_thought, text_in, thought_in
from edge.dialects.scrubbed import printable
from edge.dialects.translation import (
    Context,
    decode_answer,
    encode,
    error_message,
    error_object,
)
from edge.errors import UpstreamBadResponse

__all__ = ["annotation", "call_of", "finish_reason", "renamed_error", "thinking_block", "tier_of"]
__all__ += ["translate_answer", "translate_error"]

PARAMS = {
    "max_output_tokens": "max_completion_tokens",
    "text.format": "response_format",
    "text.verbosity": "verbosity",
    "reasoning.effort": "reasoning_effort",
    "reasoning": "reasoning_effort",
    "input": "messages",
}
"""What an error is about, as the client calls it."""


def translate_answer(body: bytes, context: Context, now: int) -> bytes:
    """A chat completion, created at `now` in unix seconds. Raises UpstreamBadResponse."""
    try:
        return _completion(decode_answer(body), body, context, now)
    except (AttributeError, TypeError, RecursionError):
        raise UpstreamBadResponse("The provider's answer is no response.") from None


def _completion(response: dict[str, Any], body: bytes, context: Context, now: int) -> bytes:
    output = response.get("output")
    if not isinstance(output, list):
        raise UpstreamBadResponse("The provider's answer has no output.")
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    length = 0
    for number, item in enumerate(output):
        kind = item.get("type")
        if kind == "reasoning":
            thoughts.append(thinking_block(item, context, led_to(output, number)))
        elif kind == "message":
            for part in item.get("content") or ():
                noted = (annotation(each, length) for each in part.get("annotations") or ())
                annotations += [each for each in noted if each is not None]
                if part.get("type") == "output_text":
                    texts.append(part.get("text") or "")
                    length += context.length(texts[-1])
            refusals.append(text_in(item)[1])
        elif kind in ("function_call", "custom_tool_call"):
            calls.append(call_of(item, context))
        elif kind not in KNOWN:
            context.warnings.add("item")
    thoughts = [block for block in thoughts if block]
    said = Said(
        content="".join(texts),
        refusal="".join(refusals),
        reasoning=PARAGRAPH.join(block["thinking"] for block in thoughts if block.get("thinking")),
        thinking=thoughts,
        annotations=annotations,
        calls=calls,
    )
    finish = finish_reason(response, context, calls=bool(calls))
    usage = context.counted(openai.usage_of(body), lambda: estimate_answer(body))
    made = completion(response, said, finish, usage, context, now)
    if tier := tier_of(response):
        made["service_tier"] = tier
    return encode(made)


def tier_of(response: dict[str, Any]) -> str:
    """The ``service_tier`` of a response, "" if it has none that chat completions know."""
    tier = response.get("service_tier")
    return tier if isinstance(tier, str) and tier in TIERS else ""


def led_to(output: list[dict[str, Any]], number: int) -> str:
    """The id of the call that follows the thought at `number`, "" where none does at once."""
    for item in output[number + 1 :]:
        if item.get("type") != "reasoning":
            return str(item.get("call_id") or "")
    return ""


def thinking_block(item: dict[str, Any], context: Context, before: str) -> dict[str, Any]:
    """The entry of ``thinking_blocks`` for a reasoning item, {} for one that says nothing and cannot be thought of
    again. `before` is the id of the call that it led to.
    """
    text, sealed = thought_in(item), sealed_thought(item, context.seal, before)
    if text:
        return {"type": "thinking", "thinking": text, "signature": sealed}
    return {"type": "redacted_thinking", "data": sealed} if sealed else {}


def call_of(item: dict[str, Any], context: Context) -> dict[str, Any]:
    """The entry of ``tool_calls``."""
    name = item.get("name") or ""
    call_id = item.get("call_id") or item.get("id") or ""
    if item.get("type") == "custom_tool_call":
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": item.get("input") or ""}}
    function = {"name": context.tool_names.get(name, name), "arguments": item.get("arguments") or "{}"}
    return {"id": call_id, "type": "function", "function": function}


def annotation(noted: Any, start: int) -> dict[str, Any] | None:
    """A citation of the web in a text that begins at character `start` of the content; None for any other."""
    if not isinstance(noted, dict) or noted.get("type") != "url_citation":
        return None
    places = {name: noted[name] + start for name in ("start_index", "end_index") if isinstance(noted.get(name), int)}
    return {
        "type": "url_citation",
        "url_citation": {"url": noted.get("url") or "", "title": noted.get("title") or "", **places},
    }


def finish_reason(response: dict[str, Any], context: Context, *, calls: bool) -> str:
    """How the answer ended; what nobody knows is a plain end, and a warning."""
    finish = finish_of(response, calls=calls)
    if finish is None:
        context.warnings.add("finish_reason")
        return "stop"
    return "function_call" if finish == "tool_calls" and context.legacy_functions else finish


def renamed_error(error: dict[str, Any]) -> dict[str, Any]:
    """An ``error`` object about the field that the client has sent, without keys."""
    param = error.get("param")
    if isinstance(param, str):
        name = next((each for each in PARAMS if param == each or param.startswith((f"{each}[", f"{each}."))), "")
        param = PARAMS[name] + param[len(name) :] if name else param
    message = error_message(error, "The provider reported an error.")
    return {"message": message, "type": error.get("type"), "param": param, "code": error.get("code")}


def translate_error(status: int, body: bytes, request_id: str = "") -> tuple[int, bytes]:
    """An error of OpenAI's is one of its chat completions, about the field that its client knows. OpenAI's envelope has
    no place for `request_id`. What says nothing, or is no error, a proxy's page say, is quoted in brief.
    """
    error = error_object(body)
    if not isinstance(error.get("message"), str) or not error["message"]:
        error = {**error, "message": f"The provider answered {status}: {printable(body)}"}
    fields = renamed_error(error)
    return status, encode({"error": {**fields, "type": fields["type"] or openai.error_type(status)}})
