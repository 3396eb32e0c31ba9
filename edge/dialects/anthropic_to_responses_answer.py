"""A whole message of Anthropic's, and its errors, as a response of OpenAI's Responses.

Shapes: anthropic-sdk-python ``types/message.py``, openai-python 3.57 ``types/responses/response.py``.
"""

from __future__ import annotations

from typing import Any

from edge.dialects import anthropic, anthropic_to_openai_answer
from edge.dialects.anthropic_to_openai_answer import annotation, arguments_text, finish_reason, refusal
from edge.dialects.estimate import estimate_answer
from edge.dialects.responses_fields import renamed
from edge.dialects.responses_items import INCOMPLETE
from edge.dialects.responses_writer import ResponseWriter
from edge.dialects.texts import without_stand_ins
from edge.dialects.translation import Context, decode_answer, encode, error_object, original_id
from edge.errors import UpstreamBadResponse

__all__ = ["cited", "query_of", "sealed", "stopped", "translate_answer", "translate_error"]


def translate_answer(body: bytes, context: Context, now: int) -> bytes:
    """A response, created at `now` in unix seconds. Raises UpstreamBadResponse."""
    try:
        return _response(decode_answer(body), body, context, now)
    except (AttributeError, TypeError, RecursionError):
        raise UpstreamBadResponse("The provider's answer is no message.") from None


def _response(message: dict[str, Any], body: bytes, context: Context, now: int) -> bytes:
    content = message.get("content")
    if not isinstance(content, list):
        raise UpstreamBadResponse("The provider's answer has no content.")
    writer = ResponseWriter(context, now, False)
    writer.begin(message.get("id"), message.get("model"))
    output = context.output_tool
    is_output = bool(output) and any(each.get("type") == "tool_use" and each.get("name") == output for each in content)
    calls = False
    held: list[str] = []
    for block in content:
        kind = block.get("type")
        if kind == "text" and output:
            held.append(block.get("text") or "")  # said beside a structured output: the answer only if none comes
        elif kind == "text":
            start = writer.position()
            writer.text(block.get("text") or "")
            writer.annotate(cited(block.get("citations") or (), start, writer.position()))
        elif kind == "tool_use" and output and block.get("name") == output:
            writer.text(arguments_text(block.get("input"), context))
        elif kind == "tool_use":
            calls = True
            writer.call(original_id(block.get("id") or ""), block.get("name") or "")
            writer.arguments(arguments_text(block.get("input"), context))
        elif kind == "thinking" and (block.get("thinking") or block.get("signature")):
            writer.thought(block.get("thinking") or "")
            writer.end_thought(sealed(block, context))
        elif kind == "redacted_thinking" and block.get("data"):
            writer.end_thought(sealed(block, context))
        elif kind == "server_tool_use" and block.get("name") == "web_search":
            writer.search(query_of(block.get("input")))
    if not is_output:
        writer.text("".join(held))
    stop = message.get("stop_reason")
    if stop == "refusal":
        writer.refusal(refusal(message.get("stop_details")) or "")
    usage = context.counted(anthropic.usage_of(body), lambda: estimate_answer(body))
    return encode(writer.end(usage, stopped(stop, context, calls=calls, output=is_output)))


def translate_error(status: int, body: bytes, request_id: str = "") -> tuple[int, bytes]:
    """An error of Anthropic's as chat completions have it, but for the name of what was too long."""
    status, told = anthropic_to_openai_answer.translate_error(status, body, request_id)
    error = error_object(told)
    return status, encode({"error": {**error, "param": renamed(error["param"]) if error["param"] else None}})


def sealed(block: dict[str, Any], context: Context) -> str:
    """The envelope of a thought, "" for one that Anthropic has not signed and would not take back, or that is not there
    as a whole.
    """
    proof = block.get("signature") if block["type"] == "thinking" else block.get("data")
    thought = {name: block[name] for name in ("type", "thinking", "signature", "data") if block.get(name) is not None}
    if not proof or any(without_stand_ins(text) != text for text in thought.values()):
        return ""
    return context.seal.thinking(thought)


def query_of(given: Any) -> str:
    query = given.get("query") if isinstance(given, dict) else None
    return query if isinstance(query, str) else ""


def cited(citations: Any, start: int, end: int) -> list[dict[str, Any]]:
    """Citations of web pages as ``annotations``, from character `start` of the text to `end`."""
    found = [annotation(citation, start, end) for citation in citations]
    return [{"type": "url_citation", **each["url_citation"]} for each in found if each is not None]


def stopped(stop: Any, context: Context, *, calls: bool, output: bool) -> str:
    """Why a response is incomplete, "" for one that is not, by a ``stop_reason``."""
    return INCOMPLETE.get(finish_reason(stop, context, calls=calls, output=output), "")
