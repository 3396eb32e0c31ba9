"""A request of Anthropic's messages as one of OpenAI's chat completions.

Shapes: anthropic-sdk-python ``types/message_create_params.py``, openai-python
``types/chat/completion_create_params.py``. What a model refuses is in `edge.dialects.models`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from edge.dialects.anthropic_to_openai_messages import Conversation, tool_definition, with_system_first
from edge.dialects.billing import without_billing
from edge.dialects.models import Api, effort_for
from edge.dialects.provider_state import refuse_state
from edge.dialects.refusals import (
    anthropic_array,
    anthropic_integer,
    anthropic_messages,
    anthropic_number,
    missing,
    refused,
)
from edge.dialects.schemas import is_strict, object_schema
from edge.dialects.tokens import estimate_tokens
from edge.dialects.translation import (
    Translation,
    digest,
    invalid,
    short_name,
    wants_stream,
)
from edge.errors import UnsupportedParameter

__all__ = ["Request"]

TAKEN = frozenset(
    (
        *("model", "messages", "system", "max_tokens", "temperature", "top_p", "stop_sequences", "stream", "tools"),
        *("tool_choice", "metadata", "service_tier", "thinking", "output_config", "mcp_servers"),
    )
)
"""Fields that are translated below; every other one is dropped and reported."""
TOOL_FIELDS = frozenset(("name", "description", "input_schema", "type", "strict"))
TOOL_SEARCH = "tool_search_tool_"
"""The one server tool that can stay behind: it finds deferred tools, and OpenAI is given all of them at once."""
MAX_STOP = 4
"""https://platform.openai.com/docs/api-reference/chat/create: up to four sequences."""
MAX_USER = 64
CHOICE_FIELDS = frozenset(("type", "name", "disable_parallel_tool_use"))
FORMAT_FIELDS = frozenset(("type", "schema"))
THINKING_FIELDS = frozenset(("type", "budget_tokens", "display"))
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
SERVICE_TIERS = {"auto": "auto", "standard_only": "default"}
BUDGETS = ((4096, "low"), (16384, "medium"))
"""Effort for a budget of thinking below so many tokens; "high" above."""


class Request(Translation):
    """A messages request for ``/v1/chat/completions``. All versions of Anthropic's API are read."""

    __slots__ = ("conversation",)

    to = "openai"
    by: ClassVar[Api] = "chat"
    """The API that it is for: `edge.dialects.anthropic_to_responses` goes the same way for longer."""

    def begin(self, request: dict[str, Any]) -> list[Any]:
        context = self.context
        if not context.input_tokens:
            context.input_tokens = estimate_tokens({**request, "model": context.model})
        request = self.request = without_billing(request)
        self.conversation = self.conversation_of()
        self.take = self.conversation.take
        refuse_state(request)
        for name, value in request.items():
            if name not in TAKEN and value is not None:
                self.dropped.add(name)
        if request.get("mcp_servers"):
            raise invalid("'mcp_servers' run on Anthropic's side: they cannot be translated.", "mcp_servers")
        if request.get("compaction"):
            raise invalid("'compaction' is done by Anthropic alone: it cannot be translated.", "compaction")
        self.conversation.take_system(request.get("system"))
        return anthropic_messages(request.get("messages"))

    def conversation_of(self) -> Conversation:
        return Conversation(self.facts, self.dropped, self.context.tool_names)

    def tools(self) -> list[Any]:
        conversation, tools = self.conversation, self.request.get("tools")
        conversation.end()
        self.result["messages"] = conversation.messages
        if self.system_first and self.by == "chat":
            self.result["messages"] = with_system_first(conversation.messages)
        self._max_tokens()
        if tools is not None:
            anthropic_array("tools", tools)
        return [*(tools or ()), *conversation.added]

    def end(self) -> None:
        request, result, context = self.request, self.result, self.context
        if self.by == "chat" and "tools" in result and self.facts.chat_tools == "never":
            raise UnsupportedParameter(
                f"The model '{context.model}' takes no function tools on OpenAI's chat completions, to which this "
                "request is translated. Leave 'tools' out, or ask for a model that takes them there.",
                param="tools",
            )
        self._tool_choice()
        self._output_config()
        self._sampling()
        self._stop()
        self._metadata()
        if wants_stream(request):
            context.stream = True
            result["stream"] = True
            # Always: Anthropic's stream ends with the counts, asked for or not.
            result["stream_options"] = {"include_usage": True}

    def _max_tokens(self) -> None:
        if self.request.get("max_tokens") is None:
            raise missing("max_tokens", "anthropic")
        limit = anthropic_integer("max_tokens", self.request["max_tokens"], 0)
        # 0 warms Anthropic's cache and generates nothing: the least that OpenAI can generate is one token.
        if limit == 0:
            self.dropped.add("max_tokens")
        self.result["max_completion_tokens" if self.facts.openai else "max_tokens"] = min(
            max(1, limit), self.facts.output_limit
        )

    def take_tool(self, number: int, tool: Any) -> None:
        at = f"tools[{number}]"
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str) or not tool["name"]:
            raise invalid(f"'{at}.name' must be a string.", f"{at}.name")
        kind = tool.get("type")
        if kind not in (None, "custom"):
            if isinstance(kind, str) and kind.startswith(TOOL_SEARCH):
                self.dropped.add("tools.tool_search")
                return
            raise invalid(
                f"The tool '{tool['name']}' ({kind}) is Anthropic's own: it cannot be translated.", f"{at}.type"
            )
        for name, value in tool.items():
            if name not in TOOL_FIELDS and value:
                self.dropped.add(name if name == "cache_control" else f"tools.{name}")
        schema = tool.get("input_schema")
        if schema is not None and not isinstance(schema, dict):
            raise invalid(f"'{at}.input_schema' must be a JSON schema.", f"{at}.input_schema")
        schema = object_schema(schema)
        strict = tool.get("strict") is True and is_strict(schema)
        if tool.get("strict") is True and not strict:
            self.dropped.add("tools.strict")
        made = tool_definition(tool, self.context.tool_names, schema, strict=strict)
        self.result.setdefault("tools", []).append(made)

    def _tool_choice(self) -> None:
        wanted = self.request.get("tool_choice")
        if wanted is None or "tools" not in self.result:
            return
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        if isinstance(wanted, dict):
            self.dropped.beside("tool_choice", wanted, CHOICE_FIELDS)
        if kind == "tool" and isinstance(wanted.get("name"), str):
            name = short_name(wanted["name"], self.context.tool_names)
            if all(tool["function"]["name"] != name for tool in self.result["tools"]):
                raise invalid(
                    f"'tool_choice' names '{wanted['name']}', which is none of the tools.", "tool_choice.name"
                )
            self.result["tool_choice"] = {"type": "function", "function": {"name": name}}
        elif isinstance(kind, str) and kind in CHOICES:
            self.result["tool_choice"] = CHOICES[kind]
        else:
            raise invalid("'tool_choice.type' must be auto, any, tool or none.", "tool_choice.type")
        if wanted.get("disable_parallel_tool_use") is True and kind != "none":
            if self.facts.parallel_tools:
                self.result["parallel_tool_calls"] = False
            else:
                self.dropped.add("tool_choice.disable_parallel_tool_use")

    def _output_config(self) -> None:
        config = self.request.get("output_config")
        if config is not None and not isinstance(config, dict):
            raise invalid("The parameter 'output_config' must be an object.", "output_config")
        for name, value in (config or {}).items():
            if name not in ("effort", "format") and value is not None:
                self.dropped.add(f"output_config.{name}")
        wanted = (config or {}).get("format")
        if wanted is not None:
            schema = wanted.get("schema") if isinstance(wanted, dict) else None
            if not isinstance(schema, dict):
                raise invalid("'output_config.format' must bring a schema.", "output_config.format")
            # "strict" is a promise OpenAI gives for some schemas only, and it refuses it for any other.
            self.dropped.beside("output_config.format", wanted, FORMAT_FIELDS)
            described = {"name": "output", "schema": schema, "strict": is_strict(schema)}
            self.result["response_format"] = {"type": "json_schema", "json_schema": described}
        self._effort((config or {}).get("effort"))

    def _effort(self, effort: Any) -> None:
        """``reasoning_effort`` for ``output_config.effort``, else for ``thinking``."""
        thinking = self.request.get("thinking")
        if thinking is not None and not isinstance(thinking, dict):
            raise invalid("The parameter 'thinking' must be an object.", "thinking")
        kind = thinking.get("type") if thinking is not None else None
        self.dropped.beside("thinking", thinking or {}, THINKING_FIELDS)
        source = "output_config.effort" if effort is not None else "thinking"
        if kind in ("disabled", "between_tools"):
            effort, source = "none", "thinking"
        elif effort is None and kind == "enabled" and thinking is not None:
            budget = anthropic_integer("thinking.enabled.budget_tokens", thinking.get("budget_tokens"))
            effort = next((level for most, level in BUDGETS if budget < most), "high")
        elif effort is None and kind == "adaptive":
            effort = "high"
        elif effort is None and thinking is not None:
            self.dropped.add("thinking")
        known = self.efforts
        if self.by == "chat" and "tools" in self.result and self.facts.chat_tools == "unreasoned":
            self.result["reasoning_effort"] = "none"
            if effort not in (None, "none"):
                self.dropped.add(source)
            return
        if effort is None or (effort == "none" and not known):
            return  # nothing is asked for, or a model that does not reason is asked not to
        level = effort_for(effort, known) if isinstance(effort, str) else ""
        if level:
            self.result["reasoning_effort"] = level
        if not level or (effort == "none" and level != "none"):
            self.dropped.add(source)

    @property
    def efforts(self) -> list[str]:
        """Those that the model knows by this API."""
        facts = self.facts
        return facts.efforts if self.by == "chat" else facts.responses_efforts or facts.efforts

    def _sampling(self) -> None:
        reasons = self.efforts and (self.result.get("reasoning_effort") or self.facts.default_effort) != "none"
        for name in ("temperature", "top_p"):
            value = self.request.get(name)
            if value is None:
                continue
            anthropic_number(name, value)
            if not reasons or self.facts.reasoning_sampling:
                self.result[name] = value
            elif value != 1:
                self.dropped.add(name)

    def _stop(self) -> None:
        stop = self.request.get("stop_sequences")
        if not stop:
            return
        for number, word in enumerate(anthropic_array("stop_sequences", stop)):
            if not isinstance(word, str):
                raise refused(f"stop_sequences.{number}: Input should be a valid string", "stop_sequences")
        if not self.facts.stop or self.by == "responses":  # these have no field for it
            self.dropped.add("stop_sequences")
        else:
            self.result["stop"] = anthropic_array("stop_sequences", stop, MAX_STOP)

    def _metadata(self) -> None:
        metadata = self.request.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise invalid("The parameter 'metadata' must be an object.", "metadata")
        for name, value in (metadata or {}).items():
            if value is None:
                continue
            if name != "user_id":
                self.dropped.add(f"metadata.{name}")
            elif not isinstance(value, str):
                raise invalid("'metadata.user_id' must be a string.", "metadata.user_id")
            else:
                user = value if len(value) <= MAX_USER else digest(value)
                self.result["safety_identifier" if self.facts.openai else "user"] = user
        tier = self.request.get("service_tier")
        if tier is not None:
            if self.facts.openai and isinstance(tier, str) and tier in SERVICE_TIERS:
                self.result["service_tier"] = SERVICE_TIERS[tier]
            else:
                self.dropped.add("service_tier")
