"""A whole response of OpenAI's, and its errors, as Anthropic's message.

Shapes: openai-python 3.57 ``types/responses/response.py``, anthropic-sdk-python ``types/message.py``. A thought is
``thinking`` where there is something to read, else ``redacted_thinking``; what OpenAI needs to think of it again is
sealed in it (`edge.dialects.sealed`).
"""

from __future__ import annotations

from typing import Any

from edge.dialects import openai
from edge.dialects.estimate import estimate_answer
from edge.dialects.message import message as made_message
from edge.dialects.message import redacted_block, text_block, thinking_block, tool_use_block, whole_usage
from edge.dialects.openai_to_anthropic_answer import invented_id, stopped, translate_error
from edge.dialects.responses_output import KNOWN, finish_of, sealed_thought, text_in, thought_in
from edge.dialects.translation import Context, anthropic_id, arguments_object, decode_answer, encode
from edge.errors import UpstreamBadResponse

__all__ = ["called", "thought_block", "translate_answer", "translate_error"]


def translate_answer(body: bytes, context: Context, now: int = 0) -> bytes:
    """A message, in the order of the response. `now` has no use here. Raises UpstreamBadResponse."""
    try:
        return _message(decode_answer(body), body, context)
    except (AttributeError, TypeError, RecursionError):
        raise UpstreamBadResponse("The provider's answer is no response.") from None


def _message(response: dict[str, Any], body: bytes, context: Context) -> bytes:
    output = response.get("output")
    if not isinstance(output, list):
        raise UpstreamBadResponse("The provider's answer has no output.")
    message_id = response.get("id") or f"msg_{context.request_id}"
    content: list[dict[str, Any]] = []
    refusal = ""
    calls = 0
    for item in output:
        kind = item.get("type")
        if kind == "reasoning":
            block = thought_block(item, context)
            content += [block] if block is not None else []
        elif kind == "message":
            text, refused = text_in(item)
            refusal += refused
            content += [text_block(text)] if text else []
        elif kind in ("function_call", "custom_tool_call"):
            call_id, name = called(item, message_id, calls, context)
            text = item.get("arguments")
            arguments = {"input": item.get("input")} if kind == "custom_tool_call" else arguments_object(text)
            if arguments is None:
                context.warnings.add("arguments")
                arguments = {}
            content.append(tool_use_block(call_id, name, arguments))
            calls += 1
        elif kind not in KNOWN:
            context.warnings.add("item")
    usage = context.counted(openai.usage_of(body), lambda: estimate_answer(body))
    finish = finish_of(response, calls=calls > 0)
    ending = stopped(finish, context, calls=calls > 0, refusal=refusal)
    model = response.get("model") or context.model
    return encode(made_message(context, message_id, model, content, whole_usage(context, usage), ending))


def thought_block(item: dict[str, Any], context: Context) -> dict[str, Any] | None:
    """The block for a reasoning item, None for one that says nothing and cannot be thought of again."""
    text, sealed = thought_in(item), sealed_thought(item, context.seal)
    if text:
        return {**thinking_block(text), "signature": sealed}
    return redacted_block(sealed) if sealed else None


def called(item: dict[str, Any], message_id: str, number: int, context: Context) -> tuple[str, str]:
    """The id and the name of a call as the client is to know them."""
    name = item.get("name") or ""
    call_id = item.get("call_id") or invented_id(message_id, number)
    return anthropic_id(call_id), context.tool_names.get(name, name)
