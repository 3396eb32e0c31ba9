"""What the configuration may say of a model, and what all its sections have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = ["Capabilities", "Settings"]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all sections."""


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Capabilities(Settings, frozen=True, kw_only=True):
    """What a model can do, in place of what `edge.dialects.models` knows of it; None keeps what that says."""

    apis: Annotated[list[Literal["chat", "responses", "messages"]], Meta(min_length=1)] | None = None
    continue_text: Literal["never", "assistant", "continue_final_message"] | None = None
    output_limit: Annotated[int, Meta(ge=1, le=1 << 31)] | None = None
    default_max_tokens: Annotated[int, Meta(ge=1, le=1 << 31)] | None = None
    name_limit: Annotated[int, Meta(ge=16, le=1024)] | None = None
    efforts: list[Effort] | None = None
    responses_efforts: list[Effort] | None = None
    default_effort: Effort | None = None
    forced_tool: bool | None = None
    parallel_tools: bool | None = None
    sampling: bool | None = None
    both_sampling: bool | None = None
    reasoning_sampling: bool | None = None
    stop: bool | None = None
    thinking: Literal["", "adaptive", "budget"] | None = None
    off: Literal["", "disabled", "between_tools"] | None = None
    format: bool | None = None
    system_turns: bool | None = None
    unsigned_thinking: bool | None = None
    chat_tools: Literal["always", "unreasoned", "never"] | None = None
    openai: bool | None = None
    breakpoints: bool | None = None
    reasoning_content: bool | None = None
    phases: bool | None = None
