"""What a request of OpenAI's Responses has, made of the fields that chat completions have.

Shapes: openai-python 3.57, ``types/responses/response_create_params.py``, ``function_tool_param.py``,
``custom_tool_param.py``, ``response_text_config_param.py``.

    chat completions                                  responses
    messages (made into items before)                 input
    max_completion_tokens, max_tokens                 max_output_tokens, of at least 16
    tools, tool_choice: a function in an object       the same without the object
    response_format, verbosity                        text
    reasoning_effort                                  reasoning
    stop                                              -
    stream_options.include_usage                      - (it is always told)
"""

from __future__ import annotations

from typing import Any

from edge.dialects.models import Model
from edge.dialects.refusals import missing
from edge.dialects.translation import Dropped, invalid

__all__ = ["ENCRYPTED", "file_part", "image_part", "responses_fields", "text_part"]

MIN_TOKENS = 16
"""https://platform.openai.com/docs/api-reference/responses/create: less is refused."""
CALLS = ("function_call", "custom_tool_call")
ENCRYPTED = "reasoning.encrypted_content"
SAME = (
    *("temperature", "top_p", "parallel_tool_calls", "user", "safety_identifier", "service_tier", "stream", "metadata"),
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "moderation"),
)
"""Fields that mean the same and are called the same."""


def text_part(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def image_part(url: str, detail: str = "auto") -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": detail}


def file_part(name: str, url: str) -> dict[str, Any]:
    return {"type": "input_file", "filename": name, "file_data": url}


def responses_fields(
    chat: dict[str, Any], facts: Model, dropped: Dropped, limit: str, *, shown: bool = False
) -> dict[str, Any]:
    """The request for one whose ``messages`` are input items. `limit` is what the client calls the most that may be
    written; `shown`: it wants to see what is thought. Raises InvalidValue.
    """
    made: dict[str, Any] = {"model": chat["model"], "input": chat["messages"]}
    if facts.phases:
        _tell_phases(made["input"])
    tokens = chat.get("max_completion_tokens", chat.get("max_tokens"))
    if tokens is not None:
        made["max_output_tokens"] = max(tokens, MIN_TOKENS)
        if tokens < MIN_TOKENS:
            dropped.add(limit)
    if chat.get("tools"):
        made["tools"] = [tool_of(tool, f"tools[{number}]") for number, tool in enumerate(chat["tools"])]
    if chat.get("tool_choice") is not None:
        made["tool_choice"] = _choice(chat["tool_choice"])
    for name in SAME:
        if chat.get(name) is not None:
            made[name] = chat[name]
    text = {"verbosity": chat["verbosity"]} if chat.get("verbosity") is not None else {}
    if chat.get("response_format") is not None:
        text["format"] = _format(chat["response_format"])
    if text:
        made["text"] = text
    if facts.efforts or facts.responses_efforts:
        reasoning = {"effort": chat["reasoning_effort"]} if chat.get("reasoning_effort") else {}
        if shown and reasoning.get("effort") != "none":
            reasoning["summary"] = "auto"
        if reasoning:
            made["reasoning"] = reasoning
        made["include"] = [ENCRYPTED]
    made["store"] = False
    return made


def _tell_phases(items: list[dict[str, Any]]) -> None:
    """Say of each message of the assistant's, as OpenAI has said of it, whether calls came of it or it was the answer,
    which other APIs have no field for: a model that is not told takes what it said between its calls for answers.
    """
    following = None
    for item in reversed(items):
        if item.get("role") == "assistant" and following is not None:
            item["phase"] = "commentary" if following in CALLS else "final_answer"
        if item.get("role") != "assistant" and item.get("type") != "reasoning":
            following = item.get("type", "message")


def tool_of(tool: dict[str, Any], at: str) -> dict[str, Any]:
    """A tool of chat completions as one of Responses, where a function is strict unless it says otherwise. Raises
    InvalidValue.
    """
    kind = tool.get("type")
    if kind == "web_search":
        return tool  # made of ``web_search_options``
    described = tool.get(kind) if isinstance(kind, str) else None
    if kind == "function" and isinstance(described, dict):
        made: dict[str, Any] = {"type": "function", "name": described.get("name")}
        if described.get("description"):
            made["description"] = described["description"]
        made["parameters"] = described.get("parameters") or {"type": "object", "properties": {}}
        made["strict"] = described.get("strict") is True
        return made
    if kind == "custom" and isinstance(described, dict):
        made = {"type": "custom", "name": described.get("name")}
        if described.get("description"):
            made["description"] = described["description"]
        form = described.get("format")
        grammar = form.get("grammar") if isinstance(form, dict) else None
        if isinstance(form, dict) and form.get("type") == "grammar" and isinstance(grammar, dict):
            made["format"] = {"type": "grammar", **grammar}
        elif form is not None:
            made["format"] = form
        return made
    raise invalid(f"'{at}' is of type '{kind}': only functions and custom tools can be translated.", f"{at}.type")


def _choice(choice: Any) -> Any:
    """``tool_choice``, of which a word is the same."""
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("function", "custom") and isinstance(choice.get(kind), dict):
        return {"type": kind, "name": choice[kind].get("name")}
    if kind == "allowed_tools" and isinstance(choice.get("allowed_tools"), dict):
        allowed = choice["allowed_tools"]
        listed = allowed.get("tools")
        tools = [_choice(tool) for tool in listed] if isinstance(listed, list) else []
        return {"type": kind, "mode": allowed.get("mode"), "tools": tools}
    return choice


def _format(wanted: Any) -> Any:
    """``text.format`` for a ``response_format``."""
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        described = wanted.get("json_schema")
        for name in ("name", "schema"):
            if not isinstance(described, dict) or described.get(name) is None:
                raise missing(f"response_format.json_schema.{name}", "openai")
        return {"type": "json_schema", **wanted["json_schema"]}
    return wanted
