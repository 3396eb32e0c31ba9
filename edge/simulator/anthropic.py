"""The Anthropic side: messages, count_tokens, models."""

from __future__ import annotations

from typing import Any

from edge.simulator import credit
from edge.simulator.content import Content, called, content_for, count_tokens
from edge.simulator.openai import Events, dumps
from edge.simulator.plan import Plan

__all__ = ["error", "message", "message_stream", "models", "token_count"]

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error(status: int, message_text: str) -> bytes:
    kind = TYPES.get(status, "api_error")
    return dumps({"type": "error", "error": {"type": kind, "message": message_text}, "request_id": "req_simulator"})


def _prompt(body: dict[str, Any]) -> list[Any]:
    return [body.get("system"), body.get("messages"), body.get("tools")]


def _content(body: dict[str, Any], plan: Plan) -> Content:
    messages = body.get("messages") or []
    last = messages[-1].get("content") if messages else None
    answered = isinstance(last, list) and any(block.get("type") == "tool_result" for block in last)
    choice = body.get("tool_choice") or {}
    tools = [
        (tool["name"], tool["input_schema"])
        for tool in body.get("tools") or []
        if "input_schema" in tool and not tool.get("defer_loading")
    ]
    forced = choice.get("type") in ("any", "tool")
    tool = None
    if tools and choice.get("type") != "none" and (forced or not answered):
        tool = called(tools, choice.get("name"))
    output_format = (body.get("output_config") or {}).get("format") or {}
    return content_for(
        [body.get("system"), messages],
        words=plan.words,
        announced=plan.announced,
        limit=body.get("max_tokens"),
        tool=tool,
        schema=output_format.get("schema"),
    )


def _id(body: dict[str, Any], content: Content) -> str:
    """An answer's id; that of a thread is good for once, so it is not made of the prompt."""
    thread = body.get("thread")
    identity: str = thread["id"] if thread else content.id("msg_")
    return identity


def _stop(body: dict[str, Any], content: Content, plan: Plan) -> dict[str, Any]:
    if "refusal" in plan.flags:
        token = credit.token_for(body)
        details = {"type": "refusal", "category": None, "explanation": None, "fallback_credit_token": token}
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    reason = "tool_use" if content.tool else "max_tokens" if content.cut else "end_turn"
    return {"stop_reason": reason, "stop_sequence": None}


def _usage(body: dict[str, Any], output_tokens: int) -> dict[str, Any]:
    usage = {
        "input_tokens": count_tokens(_prompt(body)),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }
    redeemed = credit.outcome(body)
    return usage if redeemed is None else {**usage, "fallback_credit": redeemed}


def _tool_use(content: Content, value: Any) -> dict[str, Any]:
    assert content.tool is not None  # noqa: S101
    return {"type": "tool_use", "id": content.id("toolu_"), "name": content.tool[1], "input": value}


def message(body: dict[str, Any], plan: Plan) -> bytes:
    import json

    content = _content(body, plan)
    if content.tool:
        blocks = [_tool_use(content, json.loads(content.tool[2]))]
    else:
        blocks = [{"type": "text", "text": content.text}]
    return dumps(
        {
            "id": _id(body, content),
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": blocks,
            **_stop(body, content, plan),
            "usage": _usage(body, content.tokens),
        }
    )


def message_stream(body: dict[str, Any], plan: Plan) -> Events:
    content = _content(body, plan)
    events: Events = []

    def add(kind: str, **fields: Any) -> None:
        events.append(b"event: " + kind.encode() + b"\ndata: " + dumps({"type": kind, **fields}) + b"\n\n")

    started = {
        "id": _id(body, content),
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(body, 1),
    }
    add("message_start", message=started)
    if content.tool:
        add("content_block_start", index=0, content_block=_tool_use(content, {}))
        add("ping")
        arguments = content.tool[2]
        for i in range(0, len(arguments), 4):
            delta = {"type": "input_json_delta", "partial_json": arguments[i : i + 4]}
            add("content_block_delta", index=0, delta=delta)
    else:
        add("content_block_start", index=0, content_block={"type": "text", "text": ""})
        add("ping")
        for word in content.words:
            add("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
    add("content_block_stop", index=0)
    add("message_delta", delta=_stop(body, content, plan), usage={"output_tokens": content.tokens})
    add("message_stop")
    return events


def token_count(body: dict[str, Any], plan: Plan) -> bytes:
    return dumps({"input_tokens": count_tokens(_prompt(body))})


def models(names: list[str]) -> bytes:
    data = [{"type": "model", "id": name, "display_name": name, "created_at": "2025-10-09T00:00:00Z"} for name in names]
    return dumps({"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]})
