"""A request of OpenAI's chat completions on its way to any other API: what does not depend on where it goes."""

from __future__ import annotations

from typing import Any

from edge.dialects.provider_state import refuse_state
from edge.dialects.refusals import openai_array, openai_integer
from edge.dialects.translation import Dropped, Translation, invalid, wants_stream

__all__ = [
    "CALLED",
    "CALL_FIELDS",
    "FILE_FIELDS",
    "IMAGE_FIELDS",
    "NEUTRAL",
    "SCHEMA_FIELDS",
    "ChatRequest",
    "answered_call",
    "note_tool",
]

NEUTRAL: dict[str, Any] = {
    "logprobs": False,
    "top_logprobs": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "store": False,
    "modalities": ["text"],
}
"""What OpenAI does without the field: leaving it out loses nothing."""
TOOL_FIELDS = frozenset(("type", "function", "custom", "cache_control"))
FUNCTION_FIELDS = frozenset(("name", "description", "parameters", "strict", "format", "cache_control"))
CALL_FIELDS = frozenset(("id", "type", "function", "custom", "index"))
"""``index`` is what a client has left of a stream."""
CALLED = frozenset(("name", "arguments", "input"))
IMAGE_FIELDS = frozenset(("url", "detail"))
FILE_FIELDS = frozenset(("file_data", "file_id", "file_url", "filename"))
SCHEMA_FIELDS = frozenset(("name", "description", "schema", "strict"))
"""What there is in parts of a request that are translated; other fields there stay behind."""


def note_tool(tool: dict[str, Any], described: dict[str, Any], dropped: Dropped, *, legacy: bool) -> None:
    """Name what a tool has beside what is translated. `described` is its function, with `legacy` the same object."""
    if legacy:
        dropped.beside("functions", tool, FUNCTION_FIELDS)
        return
    dropped.beside("tools", tool, TOOL_FIELDS)
    dropped.beside(f"tools.{tool.get('type') or 'function'}", described, FUNCTION_FIELDS)


def answered_call(message: dict[str, Any], by_name: dict[str, str], at: str) -> str:
    """The id of the call that a message has the result of; `by_name` are those of functions of old. Raises
    InvalidValue.
    """
    call = message.get("tool_call_id")
    if message["role"] == "function":
        call = by_name.get(str(message.get("name")))
    if not isinstance(call, str) or not call:
        raise invalid(f"'{at}' must name the call it is the result of.", f"{at}.tool_call_id")
    return call


class ChatRequest(Translation):
    __slots__ = ()

    def check(self, taken: frozenset[str], neutral: dict[str, Any]) -> None:
        """Fields that are neither `taken` nor say what would happen without them stay behind. Raises InvalidValue for
        more than one choice, which no other API gives, and UnsupportedParameter for what another provider keeps.
        """
        refuse_state(self.request)
        self.dropped.unknown(self.request, taken, neutral)
        if self.request.get("n") is not None:
            openai_integer("n", self.request["n"], 1, 1)

    def tools(self) -> list[Any]:
        """The tools, or the functions of old. Raises InvalidValue."""
        tools, functions = self.request.get("tools"), self.request.get("functions")
        if tools is not None:
            openai_array("tools", tools)
        if functions is not None:
            openai_array("functions", functions)
        if tools and functions:
            self.dropped.add("functions")
        elif functions:
            self.context.legacy_functions = True
        return tools or functions or []

    def streams(self) -> bool:
        """Whether a stream is wanted, which is noted for the way back."""
        self.context.stream = wants_stream(self.request)
        if self.context.stream:
            options = self.request.get("stream_options")
            self.context.include_usage = isinstance(options, dict) and options.get("include_usage") is True
        return self.context.stream
