"""The tools of a Responses request as functions, which every API has, and their calls back as what the client knows.

Shapes: openai-python 3.57, ``types/responses/tool_param.py``.

    type         becomes
    function     a function
    custom       a function of one text, ``input``; its grammar is told in the description
    namespace    its functions, each with the name of the namespace before its own
    tool_search  that a client runs: a function; that OpenAI runs: nothing, for all tools are sent from the start
    web_search   a search of the provider's own, where there is one
    local_shell  and ``shell`` on the client's machine, ``apply_patch``: a function (`edge.dialects.responses_shell`)

All others run at OpenAI, or are such as its models alone have learnt: they are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge.dialects.refusals import openai_array
from edge.dialects.responses_items import ClientTool
from edge.dialects.responses_shell import KINDS, described, runs_there
from edge.dialects.translation import Dropped, arguments_object, encode, invalid

__all__ = [
    "SEARCH",
    "SEARCH_TOOLS",
    "ClientTools",
    "as_function",
    "custom_arguments",
    "custom_text",
    "flattened",
]

SEARCH_TOOLS = ("web_search", "web_search_preview", "web_search_2025_08_26", "web_search_preview_2025_03_11")
SEARCH = "web_search"
"""The name of a provider's own search."""
TOOL_FIELDS = {
    "function": frozenset(("type", "name", "description", "parameters", "strict", "defer_loading")),
    "custom": frozenset(("type", "name", "description", "format", "defer_loading")),
    "tool_search": frozenset(("type", "execution", "description", "parameters")),
    "local_shell": frozenset(("type",)),
    "shell": frozenset(("type", "environment")),
    "apply_patch": frozenset(("type",)),
}
"""Fields that are translated; ``defer_loading`` asks to be told of a tool later, which costs tokens and no more."""
INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
SEARCH_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}


class ClientTools:
    """All tools of one request, by the names of the functions that stand for them.

    ``changed`` has those alone whose calls are not plain calls of functions of that name: what the way back must know.
    """

    __slots__ = ("_by_tool", "_names", "changed")

    def __init__(self) -> None:
        self.changed: dict[str, ClientTool] = {}
        self._names: dict[str, ClientTool] = {}
        self._by_tool: dict[ClientTool, str] = {}

    def name(self, kind: str, name: str, namespace: str = "") -> str:
        """The function's for a tool: the same however often it is asked for."""
        tool = ClientTool(kind, name, namespace)
        known = self._by_tool.get(tool)
        if known is not None:
            return known
        sent = f"{namespace}__{name}" if namespace else name
        while sent in self._names:
            sent += "_"
        self._names[sent] = tool
        self._by_tool[tool] = sent
        if kind != "function" or namespace:
            self.changed[sent] = tool
        return sent


def flattened(tools: list[Any], at: str) -> Iterator[tuple[str, Any, str]]:
    """Each tool with its place, and with the namespace that it is in, whose description is told with its first."""
    for number, tool in enumerate(tools):
        where = f"{at}[{number}]"
        if isinstance(tool, dict) and tool.get("type") == "namespace":
            name = tool.get("name")
            if not isinstance(name, str) or not name:
                raise invalid(f"'{where}.name' must be a string.", f"{where}.name")
            told = tool.get("description")
            for inner, each in enumerate(openai_array(f"{where}.tools", tool.get("tools"))):
                if inner == 0 and isinstance(told, str) and told and isinstance(each, dict):
                    own = each.get("description")
                    each = {**each, "description": f"{told}\n\n{own}" if isinstance(own, str) and own else told}
                yield f"{where}.tools[{inner}]", each, name
        else:
            yield where, tool, ""


def as_function(tool: Any, at: str, namespace: str, tools: ClientTools, dropped: Dropped) -> dict[str, Any] | None:
    """A tool as a function of chat completions, None for one that may stay behind. Raises InvalidValue."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(tool, dict) or not isinstance(kind, str) or kind not in TOOL_FIELDS or runs_there(tool):
        raise invalid(
            f"'{at}' is the tool '{kind}', which this model's API does not have: leave it out, or ask a model of "
            "OpenAI's.",
            f"{at}.type",
        )
    for name, value in tool.items():
        if name not in TOOL_FIELDS[kind] and value:
            dropped.add(f"tools.{name}")
    description = tool.get("description")
    description = description if isinstance(description, str) else ""
    if kind == "tool_search":
        if tool.get("execution") != "client":
            dropped.add("tools.tool_search")
            return None
        return _function(tools.name(kind, kind), description, tool.get("parameters") or SEARCH_SCHEMA, at)
    if kind in KINDS:
        return _function(tools.name(kind, kind), described(kind, tool), KINDS[kind].schema, at)
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise invalid(f"'{at}.name' must be a string.", f"{at}.name")
    if kind == "custom":
        told = "\n\n".join(filter(None, (description, _grammar(tool.get("format"), at))))
        return _function(tools.name(kind, name, namespace), told, INPUT_SCHEMA, at)
    made = _function(tools.name(kind, name, namespace), description, tool.get("parameters"), at)
    if tool.get("strict") is True:
        made["function"]["strict"] = True
    return made


def _function(name: str, description: str, parameters: Any, at: str) -> dict[str, Any]:
    if parameters is not None and not isinstance(parameters, dict):
        raise invalid(f"'{at}.parameters' must be a JSON schema.", f"{at}.parameters")
    function: dict[str, Any] = {"name": name, "parameters": parameters}
    if description:
        function["description"] = description
    return {"type": "function", "function": function}


def _grammar(wanted: Any, at: str) -> str:
    """What a model is told of a custom tool's grammar, which nothing else makes it keep to."""
    if wanted is None or (isinstance(wanted, dict) and wanted.get("type") == "text"):
        return ""
    syntax, definition = (wanted.get(name) if isinstance(wanted, dict) else None for name in ("syntax", "definition"))
    if not isinstance(wanted, dict) or wanted.get("type") != "grammar" or not isinstance(definition, str):
        raise invalid(f"'{at}.format' must be text, or a grammar with a definition.", f"{at}.format")
    language = "a regular expression" if syntax == "regex" else f"a {str(syntax).capitalize()} grammar"
    return f"The input is plain text, no JSON, and keeps to {language}:\n{definition}"


def custom_arguments(text: str) -> dict[str, Any]:
    """The arguments of the function that stands for a custom tool."""
    return {"input": text}


def custom_text(arguments: str) -> str:
    """The input of a custom tool, from such arguments. A model that does not keep to them has said it in its way."""
    found = arguments_object(arguments)
    if found is None:
        return arguments
    text = found.get("input")
    return text if isinstance(text, str) else encode(found).decode() if found else ""
