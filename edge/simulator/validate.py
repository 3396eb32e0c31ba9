"""What the real APIs refuse, in their words, so that a request that passes here passes there.

Each check returns None, or why the request is refused: OpenAI's as (message, param, code), Anthropic's as a message.
"""

from __future__ import annotations

from typing import Any

from edge.simulator import credit
from edge.simulator.responses_rules import check_responses, refuses_tools

__all__ = ["check_anthropic", "check_openai"]

Refusal = tuple[str, str | None, str | None]

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
MESSAGE_FIELDS = frozenset(
    "model messages max_tokens system metadata stop_sequences stream temperature top_k top_p tools tool_choice "
    "thinking service_tier container mcp_servers context_management output_config output_format cache_control betas "
    "inference_geo speed diagnostics user_profile_id workspace_id fallbacks thread fallback_credit_token compaction "
    "billing_policy".split()
)
RANGES: tuple[tuple[str, str, int, int | None], ...] = (
    ("max_tokens", "integer", 1, None),
    ("max_completion_tokens", "integer", 1, None),
    ("temperature", "decimal", 0, 2),
    ("top_p", "decimal", 0, 1),
    ("presence_penalty", "decimal", -2, 2),
    ("frequency_penalty", "decimal", -2, 2),
    ("n", "integer", 1, 128),
)
"""OpenAI's numbers: what kind each is, the least and the most."""
RESULT_NEEDS_USE = "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
USE_NEEDS_RESULT = "Each `tool_use` block must have a corresponding `tool_result` block in the next message."


def check_openai(path: str, body: dict[str, Any]) -> Refusal | None:
    """A request to one of OpenAI's paths."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        return "you must provide a model parameter", None, None
    if path == "/v1/chat/completions":
        return _chat(body)
    if path == "/v1/rerank" and not (isinstance(body.get("query"), str) and body.get("documents")):
        return "Missing required parameter: 'query' or 'documents'.", "query", "missing_required_parameter"
    required = {
        "/v1/responses": "input",
        "/v1/responses/input_tokens": "input",
        "/v1/embeddings": "input",
        "/v1/completions": "prompt",
    }.get(path)
    if (
        required is not None
        and body.get(required) in (None, "", [])
        and not (path == "/v1/responses" and "prompt" in body)
    ):
        return f"Missing required parameter: '{required}'.", required, "missing_required_parameter"
    return check_responses(body) if path == "/v1/responses" else None


def _chat(body: dict[str, Any]) -> Refusal | None:
    messages = body.get("messages")
    if messages is None:
        return "Missing required parameter: 'messages'.", "messages", "missing_required_parameter"
    if not isinstance(messages, list):
        return "Invalid type for 'messages': expected an array of objects.", "messages", "invalid_type"
    if not messages:
        message = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        return message, "messages", "empty_array"
    for name, kind, low, high in RANGES:
        refusal = _out_of_range(name, kind, body.get(name), low, high)
        if refusal is not None:
            return refusal
    if body.get("stream_options") is not None and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        return message, "stream_options", None
    return _openai_tools(body) or _openai_messages(messages) or refuses_tools(body)


def _out_of_range(name: str, kind: str, value: Any, low: int, high: int | None) -> Refusal | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int if kind == "integer" else int | float):
        expected = "an integer" if kind == "integer" else "a decimal"
        got = {bool: "a boolean", float: "a decimal number", str: "a string", list: "an array"}
        message = (
            f"Invalid type for '{name}': expected {expected}, but got {got.get(type(value), 'an object')} instead."
        )
        return message, name, "invalid_type"
    if value < low:
        message = f"Invalid '{name}': {kind} below minimum value. Expected a value >= {low}, but got {value} instead."
        return message, name, f"{kind}_below_min_value"
    if high is not None and value > high:
        message = f"Invalid '{name}': {kind} above maximum value. Expected a value <= {high}, but got {value} instead."
        return message, name, f"{kind}_above_max_value"
    return None


def _openai_tools(body: dict[str, Any]) -> Refusal | None:
    tools = body.get("tools")
    if tools is not None and not tools:
        return "Invalid 'tools': empty array. Expected an array with minimum length 1.", "tools", "empty_array"
    for index, tool in enumerate(tools or []):
        function = tool.get("function") if isinstance(tool, dict) else None
        if tool.get("type") == "function" and (not isinstance(function, dict) or not function.get("name")):
            where = f"tools[{index}].function.name"
            return f"Missing required parameter: '{where}'.", where, "missing_required_parameter"
        parameters = (function or {}).get("parameters")
        if parameters is not None and (
            not isinstance(parameters, dict) or parameters.get("type", "object") != "object"
        ):
            where = f"tools[{index}].function.parameters"
            message = f"Invalid schema for function '{(function or {}).get('name')}': schema must be a JSON Schema of "
            return message + "'type: \"object\"'.", where, "invalid_function_parameters"
    if body.get("tool_choice") not in (None, "auto", "none") and not tools:
        return "'tool_choice' is only allowed when 'tools' are specified.", "tool_choice", None
    schema_format = body.get("response_format") or {}
    if schema_format.get("type") == "json_schema" and not (schema_format.get("json_schema") or {}).get("name"):
        where = "response_format.json_schema.name"
        return f"Missing required parameter: '{where}'.", where, "missing_required_parameter"
    return None


def _openai_messages(messages: list[Any]) -> Refusal | None:
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            return f"Invalid type for '{where}': expected an object.", where, "invalid_type"
        role = message.get("role")
        if role not in ROLES:
            supported = ", ".join(f"'{name}'" for name in ROLES)
            return f"Invalid value: '{role}'. Supported values are: {supported}.", f"{where}.role", "invalid_value"
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                return f"Invalid parameter: {text}", f"messages.[{index}].role", None
            open_calls.remove(message["tool_call_id"])
        elif open_calls:
            break
        calls = message.get("tool_calls") or []
        said = calls or any(message.get(key) for key in ("function_call", "refusal", "audio"))
        if message.get("content") is None and not (role == "assistant" and said):
            text = f"Invalid value for 'content': expected a string, got null ({where}.content)."
            return text, f"{where}.content", None
        open_calls += [call["id"] for call in calls]
    if open_calls:
        text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        missing = ", ".join(open_calls)
        return f"{text}'tool_call_id'. These had no response messages: {missing}", None, None
    return None


def check_anthropic(path: str, body: dict[str, Any]) -> str | None:
    """A request to one of Anthropic's paths."""
    for name in ("model", "messages") if path.endswith("count_tokens") else ("model", "messages", "max_tokens"):
        if name not in body:
            return f"{name}: Field required"
    unknown = sorted(set(body) - MESSAGE_FIELDS)
    if unknown:
        return f"{unknown[0]}: Extra inputs are not permitted"
    limit = body.get("max_tokens")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
        return "max_tokens: Input should be a valid integer"
    if limit is not None and limit < 0:
        return "max_tokens: must be greater than or equal to 0"
    for name in ("temperature", "top_p"):
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f"{name}: Input should be a valid number"
        if value is not None and not 0 <= value <= 1:
            return f"{name}: range: 0..1"
    return (
        _thinking(body)
        or credit.check(body)
        or _anthropic_tools(body)
        or _system(body.get("system"))
        or _anthropic_messages(body["messages"])
    )


def _thinking(body: dict[str, Any]) -> str | None:
    thinking = body.get("thinking") or {}
    if thinking.get("type") != "enabled":
        return None
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < 1024:
        return "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
    if body.get("max_tokens") is not None and body["max_tokens"] <= budget:
        return "`max_tokens` must be greater than `thinking.budget_tokens`."
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        return "Thinking may not be enabled when tool_choice forces tool use."
    return None


def _anthropic_tools(body: dict[str, Any]) -> str | None:
    names: set[str] = set()
    for index, tool in enumerate(body.get("tools") or []):
        if tool.get("type", "custom") == "custom":
            if not tool.get("name"):
                return f"tools.{index}.custom.name: Field required"
            schema = tool.get("input_schema")
            if not isinstance(schema, dict):
                return f"tools.{index}.custom.input_schema: Field required"
            if schema.get("type") != "object":
                return f"tools.{index}.custom.input_schema.type: Field required"
        if tool.get("name") in names:
            return "tools: Tool names must be unique."
        names.add(tool.get("name"))
    if body.get("tool_choice") and not body.get("tools") and not body.get("mcp_servers"):
        return "tool_choice may only be specified while providing tools."
    return None


def _system(system: Any) -> str | None:
    if isinstance(system, list) and any(
        block.get("type") == "text" and not block.get("text", "").strip() for block in system
    ):
        return "system: text content blocks must be non-empty"
    return None


def _anthropic_messages(messages: Any) -> str | None:
    if not isinstance(messages, list) or not messages:
        return "messages: at least one message is required"
    asked: list[str] = []
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            return f"messages.{index}.role: Input should be 'user' or 'assistant'"
        if content is None:
            return f"messages.{index}.content: Field required"
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        last = index == len(messages) - 1
        if not blocks and not (last and role == "assistant"):
            text = "all messages must have non-empty content except for the optional final assistant message"
            return f"messages.{index}: {text}"
        for position, block in enumerate(blocks):
            if block.get("type") == "text" and not block.get("text", "").strip():
                return "messages: text content blocks must contain non-whitespace text"
            if block.get("type") == "tool_result" and block.get("tool_use_id") not in asked:
                where, tool = f"messages.{index}.content.{position}", block.get("tool_use_id")
                return f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {tool}. {RESULT_NEEDS_USE}"
        answered = {block.get("tool_use_id") for block in blocks if block.get("type") == "tool_result"}
        missing = ", ".join(each for each in asked if each not in answered)
        if missing and role != "assistant":
            text = f"`tool_use` ids were found without `tool_result` blocks after: {missing}. {USE_NEEDS_RESULT}"
            return f"messages.{index}: {text}"
        # Turns of one role that follow each other count as one.
        if role != "assistant":
            asked = []
        else:
            asked += [block["id"] for block in blocks if block.get("type") == "tool_use"]
        tail = blocks[-1].get("text", "") if last and role == "assistant" and blocks else ""
        if tail != tail.rstrip():
            return "messages: final assistant content cannot end with trailing whitespace"
    return None
