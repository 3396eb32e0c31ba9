"""A request of OpenAI's Responses as one of Anthropic's messages: what it says, then on as a chat completion would go.

Shapes: openai-python 3.57, ``types/responses/response_create_params.py``, anthropic-sdk-python
``types/message_create_params.py``.
"""

from __future__ import annotations

from typing import Any

from edge.dialects import openai_to_anthropic
from edge.dialects.refusals import openai_array
from edge.dialects.responses_fields import (
    RenamedDropped,
    chat_choice,
    chat_fields,
    echo_of,
    input_items,
    renamed_error,
    wants_summary,
)
from edge.dialects.responses_to_openai_messages import Input
from edge.dialects.responses_tools import SEARCH, SEARCH_TOOLS, ClientTools, as_function, flattened
from edge.dialects.translation import invalid
from edge.errors import InvalidRequest

__all__ = ["Request"]

SEARCH_FIELDS = frozenset(("type", "user_location", "filters", "search_context_size", "external_web_access"))
FILTER_FIELDS = frozenset(("allowed_domains", "blocked_domains"))
PLACE_FIELDS = frozenset(("type", "city", "country", "region", "timezone"))
LOCATION = ("city", "country", "region", "timezone")


class Request(openai_to_anthropic.Request):
    """A Responses request for Anthropic's ``/v1/messages``."""

    __slots__ = ("asked", "client_tools", "input")

    def begin(self, request: dict[str, Any]) -> list[Any]:
        self.asked = request
        self.dropped = RenamedDropped()
        items = input_items(request)
        self.context.echo = echo_of(request)
        self.client_tools = tools = ClientTools()
        self.context.client_tools = tools.changed
        super().begin({**chat_fields(request, self.dropped, kept=self.context.keep is not None), "messages": [{}]})
        self.input = Input(self._say, tools, self.dropped, seal=self.context.seal)
        self.take = self.input.take
        self.input.instructions(request.get("instructions"))
        return items

    def _say(self, index: int, message: dict[str, Any]) -> None:
        try:
            self.conversation.take(index, message)
        except InvalidRequest as error:
            error = renamed_error(error)
            if message["role"] == "tool":
                error.message = error.message.replace(f"[{index}].content", f"[{index}].output")
                error.param = (error.param or "").replace(f"[{index}].content", f"[{index}].output")
            raise error from None

    def tools(self) -> list[Any]:
        self.input.end()
        given = self.asked.get("tools")
        flat = [*flattened(openai_array("tools", given) if given is not None else [], "tools"), *self.input.added]
        try:
            super().tools()
        except InvalidRequest as error:
            raise renamed_error(error) from None
        joined: list[dict[str, Any]] = []
        for message in self.result["messages"]:
            if joined and message["role"] == "assistant" == joined[-1]["role"]:
                joined[-1]["content"] += message["content"]  # one turn, in the order of its items
            else:
                joined.append(message)
        self.result["messages"] = joined
        return flat

    def take_tool(self, number: int, tool: Any) -> None:
        at, each, namespace = tool
        if isinstance(each, dict) and each.get("type") in SEARCH_TOOLS:
            self.result.setdefault("tools", []).append(self._search(each))
            return
        try:
            made = as_function(each, at, namespace, self.client_tools, self.dropped)
            if made is None:
                return
            taken = self._tool(made["function"], made, at)
        except InvalidRequest as error:
            raise renamed_error(error) from None
        tools = self.result.setdefault("tools", [])
        if all(other["name"] != taken["name"] for other in tools):
            tools.append(taken)  # one that an item brings may have been there

    def _search(self, tool: dict[str, Any]) -> dict[str, Any]:
        """Anthropic's own search for OpenAI's: https://platform.claude.com/docs/en/agents-and-tools/tool-use/
        web-search-tool.
        """
        made: dict[str, Any] = {"type": "web_search_20250305", "name": SEARCH}
        for name, value in tool.items():
            if (name not in SEARCH_FIELDS or name == "search_context_size") and value is not None:
                self.dropped.add(f"tools.{name}")
        if tool.get("external_web_access") is False:
            self.dropped.add("tools.external_web_access")  # OpenAI would look into its own index alone
        location = tool.get("user_location")
        if isinstance(location, dict):
            self.dropped.beside("tools.user_location", location, PLACE_FIELDS)
            made["user_location"] = {"type": "approximate"} | {
                name: location[name] for name in LOCATION if isinstance(location.get(name), str)
            }
        filters = tool.get("filters")
        if isinstance(filters, dict):
            self.dropped.beside("tools.filters", filters, FILTER_FIELDS)
        for name in ("allowed_domains", "blocked_domains"):
            if isinstance(filters, dict) and filters.get(name):
                made[name] = filters[name]
        return made

    def end(self) -> None:
        tools = self.result.get("tools")
        chosen = chat_choice(self.asked.get("tool_choice"), self.client_tools)
        self.request["tools"] = tools  # whether there are any is all that is asked of them
        if chosen is not None:
            self.request["tool_choice"] = chosen
        try:
            if not tools and isinstance(chosen, dict) and "function" in chosen:
                raise invalid("'tool_choice' names none of the tools.", "tool_choice")
            super().end()
        except InvalidRequest as error:
            raise renamed_error(error) from None
        thinking = self.result.get("thinking")
        if thinking is not None and thinking["type"] in ("adaptive", "enabled") and wants_summary(self.asked):
            thinking["display"] = "summarized"
