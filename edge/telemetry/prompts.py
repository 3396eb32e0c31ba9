"""What a request says, for a trace, where the configuration wants it there: with all personal data and secrets masked
that the scanner finds, whatever is done about them on the request's way (docs/pii.md).

The form is that of OpenTelemetry's conventions for generative AI: messages of parts, as JSON
(https://github.com/open-telemetry/semantic-conventions-genai, gen-ai-input-messages.json).
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge.guard.pii import redact_now
from edge.guard.policy import Policy

__all__ = ["OMITTED", "prompt_of"]

OMITTED = "edge.content.omitted_bytes"
"""How long a body is of which nothing else is told."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError, RecursionError)

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def prompt_of(body: bytes, policy: Policy) -> dict[str, str | int]:
    """The attributes that tell what a body of JSON says, which has been found sound. `policy` masks."""
    try:
        said = _decode(redact_now(policy, body).body)
        told = {
            "gen_ai.system_instructions": parts_of(said.get("system") or said.get("instructions")),
            "gen_ai.input.messages": messages_of(said),
            "gen_ai.tool.definitions": said.get("tools") if isinstance(said.get("tools"), list) else [],
        }
    except UNREADABLE:  # not in the form of any API, or too deep: what cannot be looked through is not told
        return {OMITTED: len(body)}
    return {name: _encode(value).decode() for name, value in told.items() if value}


def messages_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of a chat in either API, of a request for a response, or of one for a completion or an embedding."""
    for name in ("messages", "input", "prompt"):
        given = said.get(name)
        if isinstance(given, str):
            return [{"role": "user", "parts": parts_of(given)}]
        if isinstance(given, list):
            return [message_of(each) for each in given]
    return []


def message_of(given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        return {"role": "user", "parts": parts_of(given)}
    role = given.get("role", "assistant" if "call" in str(given.get("type")) else "user")
    if role == "tool":
        return {"role": role, "parts": [answer_of(given.get("tool_call_id"), given.get("content"))]}
    content = given if "content" not in given and "role" not in given else given.get("content")
    parts = parts_of(content)
    for call in given.get("tool_calls") or ():
        parts.append(call_of(call.get("id"), call.get("function") or {}, "arguments"))
    return {"role": role, "parts": parts}


def parts_of(content: Any) -> list[dict[str, Any]]:
    """The parts of a content: texts and tools as they are, of all else (images, files, thoughts) its type."""
    if content is None:
        return []
    if isinstance(content, list):
        return [part for each in content for part in parts_of(each)]
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    kind = content.get("type")
    if isinstance(content.get("text"), str):
        return [{"type": "text", "content": content["text"]}]
    if kind in ("tool_use", "function_call"):
        return [call_of(content.get("call_id", content.get("id")), content, "arguments" if "call" in kind else "input")]
    if kind in ("tool_result", "function_call_output"):
        number = content.get("tool_use_id", content.get("call_id"))
        return [answer_of(number, content.get("content", content.get("output")))]
    return [{"type": str(kind)}]


def answer_of(number: Any, content: Any) -> dict[str, Any]:
    return {"type": "tool_call_response", "id": number, "response": parts_of(content)}


def call_of(number: Any, given: dict[str, Any], arguments: str) -> dict[str, Any]:
    return {"type": "tool_call", "id": number, "name": given.get("name"), "arguments": given.get(arguments)}
