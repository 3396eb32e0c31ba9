"""A request of OpenAI's chat completions as one of Anthropic's messages.

Shapes: openai-python ``types/chat/completion_create_params.py``, anthropic-sdk-python
``types/message_create_params.py``; where both vendors' words differ in range, Anthropic's own page on OpenAI
compatibility decides: https://platform.claude.com/docs/en/api/openai-sdk. What a model refuses is in
`edge.dialects.models`.
"""

from __future__ import annotations

from typing import Any

from edge.dialects.chat_request import NEUTRAL, SCHEMA_FIELDS, ChatRequest, note_tool
from edge.dialects.models import LEVELS, anthropic_version, effort_for
from edge.dialects.openai_to_anthropic_messages import Conversation, cache_control
from edge.dialects.refusals import (
    openai_choice,
    openai_integer,
    openai_messages,
    openai_number,
    openai_type,
)
from edge.dialects.schemas import closed, fits, has_maps, is_recursive, object_schema
from edge.dialects.translation import (
    EMPTY_SCHEMA,
    digest,
    invalid,
    short_name,
)

__all__ = ["Request"]

TAKEN = frozenset(
    (
        *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop"),
        *("stream", "stream_options", "n", "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls"),
        *("response_format", "reasoning_effort", "thinking", "user", "safety_identifier", "service_tier"),
    )
)
"""Fields that are translated below; every other one is dropped and reported."""
UNSAID: dict[str, Any] = {**NEUTRAL, "verbosity": "medium", "metadata": {}}
"""What OpenAI does without the field, of those too that Responses have."""
BUDGETS = {"low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
"""Tokens of thinking for an effort, where a model thinks by budget."""
MIN_BUDGET = 1024
"""https://platform.claude.com/docs/en/build-with-claude/extended-thinking"""
SERVICE_TIERS = {"auto": "auto", "default": "standard_only"}
OUTPUT_TOOL = "json_output"
JSON_INSTRUCTION = "Answer with one valid JSON object and nothing else: no other text, no code fence."


class Request(ChatRequest):
    """A chat completion request for Anthropic's ``/v1/messages``. System messages always come first there."""

    __slots__ = ("conversation", "limited", "sampling")

    to = "anthropic"

    def begin(self, request: dict[str, Any]) -> list[Any]:
        self.request = request
        facts = self.facts
        version = anthropic_version(self.version)
        self.sampling = facts.sampling and version.sampling
        self.conversation = Conversation(
            self.dropped,
            self.context.tool_names,
            assistant_documents=version.assistant_documents,
            system_turns=facts.system_turns,
        )
        self.take = self.conversation.take
        self.check(TAKEN, UNSAID)
        self.result["max_tokens"], self.limited = self._max_tokens()
        return openai_messages(request.get("messages"))

    def tools(self) -> list[Any]:
        self.conversation.end()
        self.result["messages"] = self.conversation.messages
        return ChatRequest.tools(self)

    def end(self) -> None:
        result = self.result
        if "tools" not in result and self.conversation.tools_used:
            # Anthropic wants the tools of the history defined, though none may be called any more.
            result["tools"] = [{"name": name, "input_schema": EMPTY_SCHEMA} for name in self.conversation.tools_used]
            result["tool_choice"] = {"type": "none"}
        self.conversation.limit_marks(result.get("tools", []))
        self._tool_choice()
        forced = self._response_format()
        if self.conversation.system:
            result["system"] = self.conversation.system
        self._thinking(result["max_tokens"] if self.limited else None, forced=forced)
        self._sampling()
        self._stop()
        self._user()
        self._service_tier()
        if self.streams():
            result["stream"] = True

    def _max_tokens(self) -> tuple[int, bool]:
        """Never 0: to Anthropic that means to fill the cache and to generate nothing."""
        for name in ("max_completion_tokens", "max_tokens"):
            value = self.request.get(name)
            if value is None:
                continue
            return min(openai_integer(name, value, 1), self.facts.output_limit), True
        return min(self.facts.default_max_tokens, self.facts.output_limit), False

    def _user(self) -> None:
        for name in ("safety_identifier", "user"):
            user = self.request.get(name)
            if user is not None and not isinstance(user, str):
                raise openai_type(name, "a string", user)
            if user and "metadata" not in self.result:
                self.result["metadata"] = {"user_id": digest(user)}

    def _service_tier(self) -> None:
        tier = self.request.get("service_tier")
        if isinstance(tier, str) and tier in SERVICE_TIERS:
            self.result["service_tier"] = SERVICE_TIERS[tier]
        elif tier is not None:
            self.dropped.add("service_tier")

    def take_tool(self, number: int, tool: Any) -> None:
        if self.context.legacy_functions:
            if not isinstance(tool, dict):
                raise invalid(f"'functions[{number}]' must be an object.", f"functions[{number}]")
            note_tool(tool, tool, self.dropped, legacy=True)
            made = self._tool(tool, tool, f"functions[{number}]")
        else:
            function = tool.get("function") if isinstance(tool, dict) else None
            if not isinstance(function, dict):
                kind = tool.get("type") if isinstance(tool, dict) else None
                raise invalid(
                    f"'tools[{number}]' is of type '{kind}': only functions can be translated.", f"tools[{number}].type"
                )
            note_tool(tool, function, self.dropped, legacy=False)
            made = self._tool(function, tool, f"tools[{number}].function")
        self.result.setdefault("tools", []).append(made)

    def _tool(self, function: dict[str, Any], outer: dict[str, Any], at: str) -> dict[str, Any]:
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise invalid(f"'{at}.name' must be a string.", f"{at}.name")
        tool: dict[str, Any] = {"name": short_name(name, self.context.tool_names)}
        description = function.get("description")
        if isinstance(description, str) and description:
            tool["description"] = description
        parameters = function.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise invalid(f"'{at}.parameters' must be a JSON schema.", f"{at}.parameters")
        tool["input_schema"] = object_schema(parameters)
        if function.get("strict") is True:
            # Only for schemas of Anthropic's subset: others it refuses as strict.
            if self.facts.format and fits(tool["input_schema"]):
                tool["strict"] = True
            else:
                self.dropped.add("tools.function.strict")
        mark = cache_control(outer) or cache_control(function)
        if mark is not None:
            tool["cache_control"] = mark
        return tool

    def _tool_choice(self) -> None:
        if not self.request.get("tools") and not self.request.get("functions"):
            return  # Anthropic refuses a choice where there is nothing to choose
        wanted, asked = self.request.get("tool_choice"), "tool_choice"
        if wanted is None and self.context.legacy_functions:
            wanted, asked = self.request.get("function_call"), "function_call"
        choice = self._choice(wanted)
        single = self.context.legacy_functions or self.request.get("parallel_tool_calls") is False
        if choice is None and single:
            choice = {"type": "auto"}
        if choice is None:
            return
        if choice["type"] == "tool" and all(tool["name"] != choice["name"] for tool in self.result["tools"]):
            raise invalid(f"'{asked}' names none of the tools.", asked)
        if choice["type"] in ("any", "tool") and not self.facts.forced_tool:
            choice = {"type": "auto"}
            self.dropped.add(asked)
        if single and choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
        self.result["tool_choice"] = choice

    def _choice(self, wanted: Any) -> dict[str, Any] | None:
        words = {"auto": "auto", "none": "none", "required": "any"}
        if wanted is None:
            return None
        if isinstance(wanted, str) and wanted in words:
            return {"type": words[wanted]}
        if isinstance(wanted, dict):
            kind = wanted.get("type")
            if kind == "allowed_tools" and isinstance(wanted.get("allowed_tools"), dict):
                return self._allowed(wanted["allowed_tools"])
            function = wanted.get("function") if kind == "function" else wanted if kind is None else None
            name = function.get("name") if isinstance(function, dict) else None
            if isinstance(name, str) and name:
                return {"type": "tool", "name": short_name(name, self.context.tool_names)}
        if isinstance(wanted, str):
            openai_choice("tool_choice", wanted, ("none", "auto", "required"))
        raise invalid(
            "The parameter 'tool_choice' must be auto, none, required, allowed tools or a function.", "tool_choice"
        )

    def _allowed(self, allowed: dict[str, Any]) -> dict[str, Any]:
        names = set()
        listed = allowed.get("tools")
        for tool in listed if isinstance(listed, list) else ():
            function = tool.get("function") if isinstance(tool, dict) else None
            name = function.get("name") if isinstance(function, dict) else None
            if isinstance(name, str):
                names.add(short_name(name, self.context.tool_names))
        kept = [tool for tool in self.result["tools"] if tool["name"] in names]
        if not kept:
            raise invalid("'tool_choice.allowed_tools' names none of the tools.", "tool_choice")
        self.result["tools"] = kept
        return {"type": "any" if allowed.get("mode") == "required" else "auto"}

    def _response_format(self) -> bool:
        """Whether a structured output is had by forcing a tool, which goes with no thinking."""
        wanted = self.request.get("response_format")
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        if wanted is None or kind == "text":
            return False
        if kind == "json_object":
            self.conversation.system.append({"type": "text", "text": JSON_INSTRUCTION})
            return False
        described = wanted.get("json_schema") if kind == "json_schema" and isinstance(wanted, dict) else None
        schema = described.get("schema") if isinstance(described, dict) else None
        if not isinstance(described, dict) or not isinstance(schema, dict):
            raise invalid(
                "'response_format' must be text, json_object or json_schema with a schema.", "response_format"
            )
        self.dropped.beside("response_format.json_schema", described, SCHEMA_FIELDS)
        beyond = is_recursive(schema) or (self.facts.forced_tool and has_maps(schema))
        if self.facts.format and not beyond:
            lost: dict[str, None] = {}
            schema = closed(schema, lost)
            self.result["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
            if described.get("description"):
                lost["description"] = None
            for word in lost:
                self.dropped.add(f"response_format.{word}")
            return False
        return self._output_tool(described, schema)

    def _output_tool(self, described: dict[str, Any], schema: dict[str, Any]) -> bool:
        """A tool whose input is the output; beside other tools the model has to call one, whichever it is."""
        tools = self.result.get("tools", [])
        name, taken = OUTPUT_TOOL, {tool["name"] for tool in tools}
        while name in taken:
            name += "_"
        description = described.get("description") or "Call this with the final answer."
        tool = {"name": name, "description": description, "input_schema": object_schema(schema)}
        self.result["tools"] = [*tools, tool]
        self.context.output_tool = name
        choice = self.result.get("tool_choice", {"type": "auto"})
        own = self.request.get("thinking")
        if isinstance(own, dict):
            thinking = own.get("type") != "disabled"
        else:
            thinking = self.request.get("reasoning_effort") not in (None, "none")
        if choice["type"] in ("any", "tool") and tools:
            return True
        if not self.facts.forced_tool or (thinking and self.facts.thinking):
            # Thinking and forced tools exclude each other, and the client has asked for thinking.
            self.result["tool_choice"] = {**choice, "type": "auto"}
            text = f"Give your final answer by calling the tool {name}."
            self.conversation.system.append({"type": "text", "text": text})
            return False
        real = bool(tools) and choice["type"] != "none"
        self.result["tool_choice"] = {"type": "any"} if real else {"type": "tool", "name": name}
        if choice.get("disable_parallel_tool_use") or not real:
            self.result["tool_choice"]["disable_parallel_tool_use"] = True
        return True

    def _thinking(self, limit: int | None, *, forced: bool) -> None:
        """``thinking`` and ``output_config.effort``; `limit` is the client's own bound of output tokens."""
        effort = self.request.get("reasoning_effort")
        own = self.request.get("thinking")  # Anthropic's own word, which its OpenAI endpoint takes as well
        if own is not None:
            if effort is not None:
                self.dropped.add("reasoning_effort")
            self._own_thinking(own, limit)
            return
        if effort is None:
            return
        openai_choice("reasoning_effort", effort, LEVELS)
        facts = self.facts
        if effort == "none" and (facts.off or not facts.thinking):
            if facts.thinking == "adaptive":
                self.result["thinking"] = {"type": facts.off}
            return
        level = effort_for("low" if effort in ("none", "minimal") else effort, facts.efforts)
        forced = forced or self.result.get("tool_choice", {}).get("type") in ("any", "tool")
        if effort == "none" or not facts.thinking or forced:
            self.dropped.add("reasoning_effort")
        if level:
            self.result.setdefault("output_config", {})["effort"] = level
        if not facts.thinking or forced:
            return
        if facts.thinking == "adaptive":
            self.result["thinking"] = {"type": "adaptive"}
            return
        budget = BUDGETS.get(effort, MIN_BUDGET)
        if limit is None:
            self.result["max_tokens"] = min(self.result["max_tokens"] + budget, facts.output_limit)
        budget = min(budget, self.result["max_tokens"] * 3 // 4)
        if budget < MIN_BUDGET or self.conversation.goes_on_without_thinking():
            self.dropped.add("reasoning_effort")
            return
        self.result["thinking"] = {"type": "enabled", "budget_tokens": budget}

    def _own_thinking(self, own: Any, limit: int | None) -> None:
        if not isinstance(own, dict):
            raise openai_type("thinking", "an object", own)
        if own.get("type") != "disabled" and self.result.get("tool_choice", {}).get("type") in ("any", "tool"):
            self.dropped.add("thinking")  # Anthropic refuses the two together
            return
        budget = own.get("budget_tokens")
        if limit is None and isinstance(budget, int) and 0 < budget < self.facts.output_limit:
            # The budget counts against a limit that the client has not chosen.
            self.result["max_tokens"] = min(self.result["max_tokens"] + budget, self.facts.output_limit)
        self.result["thinking"] = own

    def _sampling(self) -> None:
        facts, request = self.facts, self.request
        thinks = self.result.get("thinking", {}).get("type") in ("enabled", "adaptive")
        for name, most in (("temperature", 2), ("top_p", 1)):
            value = request.get(name)
            if value is None:
                continue
            value = openai_number(name, value, 0, most)
            if value > 1:
                value = 1
                self.dropped.add(name)
            if value == 1 and (thinks or not self.sampling):
                continue  # what happens anyway
            second = name == "top_p" and "temperature" in self.result and not facts.both_sampling
            if not self.sampling or second or (thinks and (name == "temperature" or value * 100 < 95)):
                self.dropped.add(name)
            else:
                self.result[name] = value
        top_k = request.get("top_k")
        if top_k is not None:
            if self.sampling and not thinks and isinstance(top_k, int) and top_k > 0:
                self.result["top_k"] = top_k
            else:
                self.dropped.add("top_k")

    def _stop(self) -> None:
        stop = self.request.get("stop")
        if stop is None:
            return
        words = [stop] if isinstance(stop, str) else stop
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise openai_type("stop", "one of a string or array of strings", stop)
        kept = [word for word in words if word.strip()]
        if len(kept) < len(words):
            self.dropped.add("stop")
        if kept:
            self.result["stop_sequences"] = kept
