"""What the translators have to know about a model: its limits, and which fields it refuses.

``data/models.json`` is a table kept by hand, with its date and sources. Rows are tried from the top, the first whose
glob fits counts, and the last fits every name: a model nobody has heard of gets the rules that are safe for most
servers.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

__all__ = [
    "AnthropicModel",
    "AnthropicVersion",
    "OpenAIModel",
    "anthropic_model",
    "anthropic_version",
    "effort_for",
    "openai_model",
]

DATA = Path(__file__).parent / "data" / "models.json"
DOT = re.compile(r"(?<=\d)\.(?=\d)")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Efforts of both vendors, from the least to the most."""


class AnthropicModel(msgspec.Struct, frozen=True):
    """``output_limit`` and ``default_max_tokens`` in tokens. ``thinking`` is how thinking is asked for, "" for not at
    all; ``off`` the ``thinking.type`` that turns it off, "" where nothing does. ``sampling``: accepts a temperature or
    top_p other than 1; ``both_sampling``: both in one request. ``forced_tool``: accepts ``tool_choice`` any and tool.
    ``efforts``: what ``output_config.effort`` may say; ``format``: knows ``output_config.format``.
    ``system_turns``: takes ``role: system`` in ``messages``.
    ``prefill``: goes on with a last turn of the assistant. ``unsigned_thinking``: another vendor's model, whose own
    thinking is unsigned and comes back to it so.
    """

    match: list[str]
    output_limit: int = 1 << 31
    default_max_tokens: int = 16384
    thinking: Literal["", "adaptive", "budget"] = ""
    off: Literal["", "disabled", "between_tools"] = ""
    forced_tool: bool = True
    sampling: bool = True
    both_sampling: bool = True
    efforts: list[str] = []
    format: bool = False
    system_turns: bool = False
    prefill: bool = False
    unsigned_thinking: bool = False


class OpenAIModel(msgspec.Struct, frozen=True):
    """``openai``: one of OpenAI's own, which take ``max_completion_tokens`` and ``safety_identifier`` where compatible
    servers know ``max_tokens`` and ``user``. ``efforts``: what ``reasoning_effort`` may say; ``tools``: takes function
    tools at all, and ``effort_with_tools`` the only effort that they go with, "" for any; all that on chat
    completions, which take less than responses (``max`` is known there alone). ``reasoning_sampling``: accepts a
    temperature or top_p other than 1 while it reasons. ``breakpoints``: knows ``prompt_cache_breakpoint``.
    ``reasoning_content``: wants its own reasoning back in the history.
    """

    match: list[str]
    openai: bool = False
    efforts: list[str] = []
    tools: bool = True
    effort_with_tools: str = ""
    reasoning_sampling: bool = True
    stop: bool = True
    parallel_tools: bool = True
    breakpoints: bool = False
    reasoning_content: bool = False


class AnthropicVersion(msgspec.Struct, frozen=True):
    """What versions of Anthropic's API from the day ``since`` on take, whichever the model. ``sampling`` as a model's;
    ``assistant_documents``: a document straight in a message of the assistant.
    """

    since: str
    sampling: bool = True
    assistant_documents: bool = True


class _Table(msgspec.Struct, frozen=True):
    date: str
    sources: list[str]
    versions: list[AnthropicVersion]
    anthropic: list[AnthropicModel]
    openai: list[OpenAIModel]


@lru_cache(maxsize=1)
def load() -> _Table:
    return msgspec.json.decode(DATA.read_bytes(), type=_Table)


@lru_cache(maxsize=1024)
def anthropic_model(name: str) -> AnthropicModel:
    """The row for a model's name in any platform's spelling: ``us.anthropic.claude-opus-4-5-v1:0``,
    ``claude-opus-4.5``.
    """
    name = DOT.sub("-", name.lower())
    return next(row for row in load().anthropic if any(fnmatchcase(name, glob) for glob in row.match))


@lru_cache(maxsize=64)
def anthropic_version(name: str) -> AnthropicVersion:
    """The row for a value of ``anthropic-version``, which is a date. Anything else is taken for the first version."""
    date = name if DATE.fullmatch(name) else ""
    return next(row for row in load().versions if date >= row.since)


@lru_cache(maxsize=1024)
def openai_model(name: str) -> OpenAIModel:
    """The row for a model's name, with or without a vendor in front: ``openai/gpt-4o``."""
    name = name.lower().rpartition("/")[2]
    return next(row for row in load().openai if any(fnmatchcase(name, glob) for glob in row.match))


def effort_for(wanted: str, known: list[str]) -> str:
    """The nearest effort a model knows: the next lower one, else the lowest above ``none``; "" if it knows none.

    ``none`` is only ever chosen for ``none``.
    """
    if wanted in known:
        return wanted
    if wanted not in LEVELS or not known:
        return ""
    for level in reversed(LEVELS[1 : LEVELS.index(wanted) + 1]):
        if level in known:
            return level
    return next((level for level in LEVELS[1:] if level in known), "")
