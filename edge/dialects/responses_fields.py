"""The fields of a Responses request as those of chat completions, which the way to either API begins with.

Shapes: openai-python 3.57, ``types/responses/response_create_params.py``, ``types/chat/completion_create_params.py``.
"""

from __future__ import annotations

import re
from typing import Any

from edge.dialects.provider_state import refuse_state
from edge.dialects.refusals import missing, openai_array, openai_choice, openai_integer, openai_type
from edge.dialects.responses_items import ECHOED
from edge.dialects.responses_shell import KINDS
from edge.dialects.responses_tools import SEARCH, SEARCH_TOOLS, ClientTools
from edge.dialects.translation import Dropped, invalid
from edge.errors import InvalidRequest, UnsupportedParameter

__all__ = [
    "RenamedDropped",
    "chat_choice",
    "chat_fields",
    "echo_of",
    "input_items",
    "renamed",
    "renamed_error",
    "wants_summary",
]

SAME = (
    *("temperature", "top_p", "stream", "parallel_tool_calls", "user", "safety_identifier", "service_tier"),
    *("prompt_cache_key", "prompt_cache_retention", "moderation"),
)
"""Fields that chat completions have under the same name."""
TAKEN = frozenset(
    (*SAME, *("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens"))
) | frozenset(("include", "stream_options"))
KEPT = frozenset(("store",))
"""A field that is not in vain where the edge keeps responses itself."""
NEUTRAL: dict[str, Any] = {
    "store": False,
    "background": False,
    "metadata": {},
    "truncation": "disabled",
    "top_logprobs": 0,
    "context_management": [],
}
"""What happens anyway without the field: leaving it out loses nothing."""
ENCRYPTED = "reasoning.encrypted_content"
"""What of ``include`` is given always: who keeps nothing has nothing else to go on with."""
REASONING = ("effort", "summary", "generate_summary")
STATE = {
    "previous_response_id": "keeps no responses",
    "conversation": "keeps no conversations",
    "prompt": "keeps no prompts",
    "background": "answers at once or not at all",
}
NAMES = (
    ("messages.content.image_url.detail", "input.content.detail"),
    ("messages.thinking_blocks", "input.reasoning"),
    ("messages.content.", "input.content."),
    ("max_completion_tokens", "max_output_tokens"),
    ("reasoning_effort", "reasoning.effort"),
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    ("tools.function.", "tools."),
    ("tool_choice.allowed_tools", "tool_choice"),
    (".image_url.url", ".image_url"),
    (".file.file_data", ".file_data"),
    (".function.", "."),
)
"""What the fields of chat completions are called here."""
MESSAGES = re.compile(r"\bmessages(?=\[|\b)")


def renamed(name: str) -> str:
    """A field of chat completions by the name that a client of Responses knows."""
    for chat, responses in NAMES:
        name = name.replace(chat, responses)
    return "text.verbosity" if name == "verbosity" else MESSAGES.sub("input", name)


def renamed_error(error: InvalidRequest) -> InvalidRequest:
    """The same error in such words."""
    error.message = renamed(error.message)
    error.param = renamed(error.param) if error.param else error.param
    return error


class RenamedDropped(Dropped):
    """Names what could not cross as a client of Responses knows it."""

    __slots__ = ()

    def add(self, name: str) -> None:
        super().add(renamed(name))


def input_items(request: dict[str, Any]) -> list[Any]:
    """The input as a list of items. Raises InvalidValue."""
    given = request.get("input")
    if given is None:
        raise missing("input", "openai")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return openai_array("input", given, "one of a string or an array of objects")


def echo_of(request: dict[str, Any]) -> dict[str, Any]:
    """What the response will say of the request."""
    return {name: default if request.get(name) is None else request[name] for name, default in ECHOED.items()}


def chat_fields(request: dict[str, Any], dropped: Dropped, *, kept: bool = False) -> dict[str, Any]:
    """All but the input and the tools. `kept`: the response is kept here, as ``store`` may want. Raises InvalidValue,
    UnsupportedParameter.
    """
    for name, why in STATE.items():
        if request.get(name) not in (None, False, ""):
            raise UnsupportedParameter(
                f"'{name}' cannot be used with this model, whose API {why}. Send the whole conversation in 'input', "
                f"with 'store': false and 'include': [\"{ENCRYPTED}\"].",
                param=name,
            )
    refuse_state(request)
    dropped.unknown(request, TAKEN | KEPT if kept else TAKEN, NEUTRAL)
    chat = {name: request[name] for name in SAME if request.get(name) is not None}
    included = request.get("include")
    for each in openai_array("include", included, "an array of strings") if included is not None else ():
        if each != ENCRYPTED:
            dropped.add(f"include.{each}")
    if (limit := request.get("max_output_tokens")) is not None:
        chat["max_completion_tokens"] = openai_integer("max_output_tokens", limit, 1)
    _reasoning(request.get("reasoning"), chat, dropped)
    _text(request.get("text"), chat, dropped)
    return chat


def _reasoning(reasoning: Any, chat: dict[str, Any], dropped: Dropped) -> None:
    if reasoning is None:
        return
    if not isinstance(reasoning, dict):
        raise openai_type("reasoning", "an object", reasoning)
    for name, value in reasoning.items():
        if name not in REASONING and value is not None:
            dropped.add(f"reasoning.{name}")
    if reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]


def wants_summary(request: dict[str, Any]) -> bool:
    """Whether the client shows what the model thinks."""
    reasoning = request.get("reasoning")
    asked = [reasoning.get(name) for name in REASONING[1:]] if isinstance(reasoning, dict) else []
    return any(each not in (None, "none") for each in asked)


def _text(text: Any, chat: dict[str, Any], dropped: Dropped) -> None:
    if text is None:
        return
    if not isinstance(text, dict):
        raise openai_type("text", "an object", text)
    for name, value in text.items():
        if name not in ("format", "verbosity") and value is not None:
            dropped.add(f"text.{name}")
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    wanted = text.get("format")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema":
        described = {name: value for name, value in wanted.items() if name != "type" and value is not None}
        if not isinstance(described.get("schema"), dict):
            raise invalid("'text.format' must bring a schema.", "text.format.schema")
        if not isinstance(described.get("name"), str):
            raise missing("text.format.name", "openai")
        chat["response_format"] = {"type": kind, "json_schema": described}
    else:
        kind = openai_choice("text.format.type", kind, ("text", "json_object", "json_schema"))
        chat["response_format"] = {"type": kind}


def chat_choice(wanted: Any, tools: ClientTools) -> Any:
    """``tool_choice`` of chat completions. Raises InvalidValue."""
    if wanted is None or isinstance(wanted, str):
        return None if wanted is None else openai_choice("tool_choice", wanted, ("none", "auto", "required"))
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "allowed_tools":
        listed = openai_array("tool_choice.tools", wanted.get("tools"))
        allowed = {"mode": wanted.get("mode") or "auto", "tools": [_chosen(each, tools) for each in listed]}
        return {"type": kind, "allowed_tools": allowed}
    return _chosen(wanted, tools)


def _chosen(tool: Any, tools: ClientTools) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    name = tool.get("name") if isinstance(tool, dict) else None
    if kind in ("function", "custom") and isinstance(name, str):
        namespace = tool.get("namespace")
        sent = tools.name(kind, name, namespace if isinstance(namespace, str) else "")
    elif kind in SEARCH_TOOLS:
        sent = SEARCH
    elif isinstance(kind, str) and (kind == "tool_search" or kind in KINDS):
        sent = tools.name(kind, kind)
    else:
        raise invalid(
            "The parameter 'tool_choice' must be auto, none, required, allowed tools or a tool that this model's API "
            f"has: '{kind}' is none.",
            "tool_choice",
        )
    return {"type": "function", "function": {"name": sent}}
