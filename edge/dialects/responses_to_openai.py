"""A request of OpenAI's Responses as one of its chat completions, for servers that have these alone.

Shapes: openai-python 3.57, ``types/responses/response_create_params.py``, ``types/chat/completion_create_params.py``.
What a model refuses is in `edge.dialects.models`.
"""

from __future__ import annotations

from typing import Any

from edge.dialects.anthropic_to_openai_messages import with_system_first
from edge.dialects.chat_completion import TIERS
from edge.dialects.models import LEVELS, effort_for
from edge.dialects.refusals import openai_array, openai_choice, openai_number
from edge.dialects.responses_fields import RenamedDropped, chat_choice, chat_fields, echo_of, input_items
from edge.dialects.responses_to_openai_messages import Input
from edge.dialects.responses_tools import ClientTools, as_function, flattened
from edge.dialects.schemas import is_strict, object_schema
from edge.dialects.translation import Translation, invalid, openai_id, short_name, wants_stream
from edge.errors import UnsupportedParameter

__all__ = ["Request"]

OWN = ("safety_identifier", "service_tier", "prompt_cache_key", "prompt_cache_retention", "moderation", "verbosity")
"""Fields of chat completions that OpenAI has, and servers like it do not."""


class Request(Translation):
    """A Responses request for ``/v1/chat/completions``."""

    __slots__ = ("_calls", "_held", "chat", "client_tools", "input", "messages")

    to = "openai"

    def begin(self, request: dict[str, Any]) -> list[Any]:
        self.request = request
        self.dropped = RenamedDropped()
        items = input_items(request)
        self.context.echo = echo_of(request)
        self.client_tools = tools = ClientTools()
        self.context.client_tools = tools.changed
        self.chat = chat_fields(request, self.dropped, kept=self.context.keep is not None)
        self.messages: list[dict[str, Any]] = []
        self._held: list[dict[str, Any]] = []
        self._calls: set[str] = set()
        self.input = Input(self._say, tools, self.dropped, reasons=self.facts.reasoning_content)
        self.take = self.input.take
        self.input.instructions(request.get("instructions"))
        return items

    def _say(self, index: int, message: dict[str, Any]) -> None:
        """A message in its place: a result right behind its call, before what was said while it was waited for."""
        role = message["role"]
        if role == "tool":
            self._result(message)
        elif role == "assistant":
            self._let_go()
            for call in message.get("tool_calls", ()):
                function = call["function"]
                function["name"] = short_name(function["name"], self.context.tool_names)
                call["id"] = openai_id(call["id"])
                self._calls.add(call["id"])
            self.messages.append(message)
        else:
            content = message["content"]
            if isinstance(content, list):
                for part in content:
                    if not self.facts.breakpoints and part.pop("prompt_cache_breakpoint", None) is not None:
                        self.dropped.add("input.content.prompt_cache_breakpoint")
                if len(content) == 1 and content[0].keys() == {"type", "text"}:
                    content = content[0]["text"]  # every server reads a string
            message = {"role": "system" if role == "developer" else role, "content": content}
            (self._held if self._calls else self.messages).append(message)

    def _result(self, message: dict[str, Any]) -> None:
        call, content = openai_id(message["tool_call_id"]), message["content"]
        if isinstance(content, list):
            others = [part for part in content if part["type"] != "text"]
            if others:  # OpenAI's results of tools are text
                told = {"type": "text", "text": f"[From the result of tool call {call}:]"}
                carried = [each for part in others for each in (told, part)]
                self._held.append({"role": "user", "content": carried})
            content = "".join(part["text"] for part in content if part["type"] == "text")
        self.messages.append({"role": "tool", "tool_call_id": call, "content": content})
        self._calls.discard(call)
        if not self._calls:
            self._let_go()

    def _let_go(self) -> None:
        self.messages += self._held
        self._held = []
        self._calls.clear()

    def tools(self) -> list[Any]:
        self.input.end()
        self._let_go()
        if all(message["role"] == "system" for message in self.messages):
            raise invalid("The parameter 'input' holds nothing for the model to answer.", "input")
        self.result["messages"] = with_system_first(self.messages) if self.system_first else self.messages
        given = self.request.get("tools")
        return [*flattened(openai_array("tools", given) if given is not None else [], "tools"), *self.input.added]

    def take_tool(self, number: int, tool: Any) -> None:
        at, each, namespace = tool
        made = as_function(each, at, namespace, self.client_tools, self.dropped)
        if made is None:
            return
        function = made["function"]
        function["name"] = short_name(function["name"], self.context.tool_names)
        function["parameters"] = object_schema(function["parameters"])
        if function.get("strict") and not is_strict(function["parameters"]):
            del function["strict"]
            self.dropped.add("tools.strict")
        tools = self.result.setdefault("tools", [])
        if all(other["function"]["name"] != function["name"] for other in tools):
            tools.append(made)  # one that an item brings may have been there

    def end(self) -> None:
        chat, result, facts = self.chat, self.result, self.facts
        if "tools" in result and facts.chat_tools == "never":
            raise UnsupportedParameter(
                f"The model '{self.context.model}' takes no function tools on OpenAI's chat completions, to which this "
                "request is translated. Leave 'tools' out, or ask for a model that takes them there.",
                param="tools",
            )
        self._tool_choice()
        if (limit := chat.get("max_completion_tokens")) is not None:
            result["max_completion_tokens" if facts.openai else "max_tokens"] = min(limit, facts.output_limit)
        if "response_format" in chat:
            result["response_format"] = chat["response_format"]
        self._effort(chat.get("reasoning_effort"))
        self._sampling()
        for name in OWN:
            if name not in chat:
                continue
            if facts.openai and (name != "service_tier" or chat[name] in TIERS):
                result[name] = chat[name]
            elif (name, chat[name]) not in (("verbosity", "medium"), ("service_tier", "auto")):
                self.dropped.add(name)
        if "user" in chat:
            result["user"] = chat["user"]
        if wants_stream(self.request):
            self.context.stream = True
            result["stream"] = True
            # Always: a response ends with the counts, asked for or not.
            result["stream_options"] = {"include_usage": True}

    def _tool_choice(self) -> None:
        result = self.result
        if "tools" not in result:
            return
        choice = chat_choice(self.request.get("tool_choice"), self.client_tools)
        names = self.context.tool_names
        if isinstance(choice, dict):
            listed = choice["allowed_tools"]["tools"] if choice["type"] == "allowed_tools" else [choice]
            allowed = {short_name(each["function"]["name"], names) for each in listed}
            kept = [tool for tool in result["tools"] if tool["function"]["name"] in allowed]
            if not kept:
                raise invalid("'tool_choice' names none of the tools.", "tool_choice")
            if choice["type"] == "allowed_tools":
                result["tools"] = kept
                choice = choice["allowed_tools"]["mode"]
            else:
                choice = {"type": "function", "function": {"name": kept[0]["function"]["name"]}}
        if choice is not None:
            result["tool_choice"] = choice
        if self.chat.get("parallel_tool_calls") is False:
            if self.facts.parallel_tools:
                result["parallel_tool_calls"] = False
            else:
                self.dropped.add("parallel_tool_calls")

    def _effort(self, effort: Any) -> None:
        facts = self.facts
        if effort is not None:
            openai_choice("reasoning.effort", effort, LEVELS)
        if "tools" in self.result and facts.chat_tools == "unreasoned":
            self.result["reasoning_effort"] = "none"
            if effort not in (None, "none"):
                self.dropped.add("reasoning.effort")
            return
        if effort is None or (effort == "none" and not facts.efforts):
            return
        level = effort_for(effort, facts.efforts)
        if level:
            self.result["reasoning_effort"] = level
        if not level or (effort == "none" and level != "none"):
            self.dropped.add("reasoning.effort")

    def _sampling(self) -> None:
        reasons = self.facts.efforts and (self.result.get("reasoning_effort") or self.facts.default_effort) != "none"
        for name, most in (("temperature", 2), ("top_p", 1)):
            value = self.chat.get(name)
            if value is None:
                continue
            openai_number(name, value, 0, most)
            if not reasons or self.facts.reasoning_sampling:
                self.result[name] = value
            elif value != 1:
                self.dropped.add(name)
