"""A request of OpenAI's chat completions on its way to any other API: what does not depend on where it goes."""

from __future__ import annotations

from typing import Any

from edge.dialects.provider_state import refuse_state
from edge.dialects.refusals import openai_array, openai_integer
from edge.dialects.translation import Translation, wants_stream

__all__ = ["NEUTRAL", "ChatRequest"]

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
