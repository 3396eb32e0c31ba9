"""What the real Responses API refuses, in its words; and what chat completions refuse since there are Responses.

Shapes: openai-python 3.57, ``types/responses/response_create_params.py``, ``response_input_item_param.py``.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["check_responses", "refuses_tools"]

Refusal = tuple[str, str | None, str | None]
FIELDS = frozenset(
    "model input instructions max_output_tokens max_tool_calls temperature top_p top_logprobs tools tool_choice text "
    "reasoning parallel_tool_calls previous_response_id conversation prompt metadata store include truncation stream "
    "stream_options user safety_identifier service_tier prompt_cache_key prompt_cache_options prompt_cache_retention "
    "background background_options context_management moderation access_programs image "
    "client_metadata".split()  # the last is Codex's own
)
MIN_TOKENS = 16
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
REASONS = re.compile(r"(gpt-([5-9])(?!.*-chat)|o[0-9]|codex-)")
NEW = re.compile(r"gpt-(5\.[4-9]|[6-9])(?!.*-chat)")
"""Models that take no tools on chat completions while they reason."""
ENCRYPTED = "reasoning.encrypted_content"
PREFIX = "gAAAA"
PARTS = {
    "user": ("input_text", "input_image", "input_file"),
    "assistant": ("output_text", "refusal", "input_text"),
}
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
OUTPUTS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}


def refuses_tools(body: dict[str, Any]) -> Refusal | None:
    """A chat completion of a model that has to be asked by Responses."""
    model = body["model"]
    if not body.get("tools") or not NEW.match(model):
        return None
    effort = body.get("reasoning_effort") or ("none" if model.startswith("gpt-5.4") else "medium")
    if effort == "none":
        return None
    message = f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. Please use "
    return message + "/v1/responses instead.", "reasoning_effort", None


def check_responses(body: dict[str, Any]) -> Refusal | None:
    """A request to ``/v1/responses``."""
    unknown = sorted(set(body) - FIELDS)
    if unknown:
        return f"Unknown parameter: '{unknown[0]}'.", unknown[0], "unknown_parameter"
    limit = body.get("max_output_tokens")
    if isinstance(limit, int) and limit < MIN_TOKENS:
        message = f"integer below minimum value. Expected a value >= {MIN_TOKENS}, but got {limit} instead."
        return f"Invalid 'max_output_tokens': {message}", "max_output_tokens", "integer_below_min_value"
    model = body["model"]
    if ENCRYPTED in (body.get("include") or ()) and model.startswith("gpt-") and not REASONS.match(model):
        return "Encrypted content is not supported with this model.", "include", None
    return _tools(body.get("tools")) or _input(body)


def _tools(tools: Any) -> Refusal | None:
    for index, tool in enumerate(tools or []):
        where = f"tools[{index}]"
        kind = tool.get("type")
        if not isinstance(kind, str):
            return f"Missing required parameter: '{where}.type'.", f"{where}.type", "missing_required_parameter"
        if kind not in ("function", "custom"):
            continue
        name = tool.get("name")
        if not isinstance(name, str):
            return f"Missing required parameter: '{where}.name'.", f"{where}.name", "missing_required_parameter"
        if not NAME.match(name):
            message = "string does not match pattern. Expected a string that matches '^[a-zA-Z0-9_-]+$'."
            return f"Invalid '{where}.name': {message}", f"{where}.name", "invalid_value"
        schema = tool.get("parameters")
        if kind == "function" and tool.get("strict", True) is not False:
            closed = isinstance(schema, dict) and schema.get("additionalProperties") is False
            if not closed or set(schema.get("properties", {})) != set(schema.get("required", ())):
                message = (
                    "'additionalProperties' is required to be supplied and to be false, and all properties required."
                )
                return (
                    f"Invalid schema for function '{name}': {message}",
                    f"{where}.parameters",
                    "invalid_function_parameters",
                )
    return None


def _input(body: dict[str, Any]) -> Refusal | None:
    """What goes on with something that is kept may answer calls that are there."""
    items = body.get("input")
    kept = body.get("previous_response_id") or body.get("conversation")
    return _items(items) if isinstance(items, list) and not kept else None


def _items(items: list[Any]) -> Refusal | None:
    called: dict[str, str] = {}
    answered: set[str] = set()
    searched: set[Any] = set()
    for index, item in enumerate(items):
        where = f"input[{index}]"
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind is None:
            return f"Missing required parameter: '{where}.type'.", f"{where}.type", "missing_required_parameter"
        if kind == "message" and (refusal := _message(item, where)):
            return refusal
        if kind in CALLS:
            field = CALLS[kind]
            for name in ("call_id", "name", field):
                if not isinstance(item.get(name), str):
                    return (
                        f"Missing required parameter: '{where}.{name}'.",
                        f"{where}.{name}",
                        "missing_required_parameter",
                    )
            called[item["call_id"]] = kind
        elif kind == "tool_search_call" and item.get("execution") == "client":
            searched.add(item.get("call_id"))
        elif kind in OUTPUTS:
            call = item.get("call_id")
            # A search that the client carries out may be answered as a function is, or by an item of its own.
            if called.get(call) != OUTPUTS[kind] and not (kind == "function_call_output" and call in searched):
                return f"No tool call found for function call output with call_id {call}.", "input", None
            if not isinstance(item.get("output"), str | list):
                return f"Missing required parameter: '{where}.output'.", f"{where}.output", "missing_required_parameter"
            answered.add(call)
        elif kind == "reasoning" and (refusal := _reasoning(items, index, where)):
            return refusal
    missing = [call for call in called if call not in answered]
    return (f"No tool output found for function call {missing[0]}.", "input", None) if missing else None


def _message(item: dict[str, Any], where: str) -> Refusal | None:
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "assistant", "system", "developer"):
        return f"Invalid value: '{role}'.", f"{where}.role", "invalid_value"
    if isinstance(content, str):
        return None
    if not isinstance(content, list):
        return f"Missing required parameter: '{where}.content'.", f"{where}.content", "missing_required_parameter"
    allowed = PARTS["assistant" if role == "assistant" else "user"]
    for number, part in enumerate(content):
        if part.get("type") not in allowed:
            supported = ", ".join(f"'{each}'" for each in allowed)
            message = f"Invalid value: '{part.get('type')}'. Supported values are: {supported}."
            return message, f"{where}.content[{number}].type", "invalid_value"
    return None


def _reasoning(items: list[Any], index: int, where: str) -> Refusal | None:
    item = items[index]
    if not isinstance(item.get("summary"), list):
        return f"Missing required parameter: '{where}.summary'.", f"{where}.summary", "missing_required_parameter"
    encrypted = item.get("encrypted_content")
    if encrypted is not None and not str(encrypted).startswith(PREFIX):
        message = (
            "The encrypted content could not be verified. Reason: Encrypted content could not be decrypted or parsed."
        )
        return message, None, "invalid_encrypted_content"
    after = items[index + 1] if index + 1 < len(items) else {}
    kind = str(after.get("type"))
    if kind == "reasoning" or kind.endswith("_call") or after.get("role") == "assistant":  # calls of hosted tools too
        return None
    name = item.get("id")
    return f"Item '{name}' of type 'reasoning' was provided without its required following item.", "input", None
