"""What a model can do, and which fields it refuses: the one table that all translations and the choice of an API go by.

``data/models.json`` is kept by hand, with its date and sources. It has a list of rows for each dialect that a provider
may speak. Rows are tried from the top, the first whose glob fits counts, and the last fits every name: a model nobody
has heard of gets the rules that are safe for most servers. What a provider's or a model's ``capabilities`` in the
configuration says stands above the row.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from edge.config import Capabilities, Provider
from edge.routes import Dialect

__all__ = [
    "API_DIALECTS",
    "LEVELS",
    "Api",
    "Model",
    "Version",
    "anthropic_model",
    "anthropic_version",
    "api_for",
    "configured_model",
    "described",
    "effort_for",
    "model_of",
    "openai_model",
]

DATA = Path(__file__).parent / "data" / "models.json"
DOT = re.compile(r"(?<=\d)\.(?=\d)")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Efforts of both vendors, from the least to the most."""
Api = Literal["chat", "responses", "messages"]
"""An API that a model may be asked by, as `edge.routes.Route.api` calls it."""
API_DIALECTS: dict[str, Dialect] = {"chat": "openai", "responses": "openai", "messages": "anthropic"}
UNLIMITED = 1 << 31


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``apis``: those it is asked by, none for all of its dialect. What the others say of one API alone, they say of
    models that have it.

    ``output_limit`` and ``default_max_tokens`` in tokens; ``name_limit`` in characters of a tool's name. ``efforts``:
    what ``reasoning_effort``, or ``output_config.effort``, may say; ``responses_efforts`` the same of
    ``reasoning.effort``, none for no others; ``default_effort`` what it does unasked, "" where nobody has said.
    ``forced_tool``: a tool may be demanded; ``parallel_tools``: it may be told to call one at a time.
    ``sampling``: accepts a temperature or top_p other than 1, ``both_sampling`` both in one request,
    ``reasoning_sampling`` either while it reasons. ``stop``: knows stop sequences. ``continue_text``: how it is asked
    to go on with a text, by a last message of the assistant, or by that and vLLM's field.

    Of messages: ``thinking`` is how thinking is asked for, "" for not at all; ``off`` the ``thinking.type`` that turns
    it off, "" where nothing does. ``format``: knows ``output_config.format``. ``system_turns``: takes ``role: system``
    in ``messages``. ``unsigned_thinking``: another vendor's model, whose own thinking is unsigned and comes back to it
    so.

    Of Responses: ``phases``: told apart what it says between its calls (``commentary``) and its answer, in ``phase``.

    Of chat completions: ``chat_tools`` says whether function tools are taken: always, ``unreasoned``, with the effort
    ``none`` alone, or never. ``openai``: one of OpenAI's own, which take ``max_completion_tokens`` and
    ``safety_identifier`` where compatible servers know ``max_tokens`` and ``user``. ``breakpoints``: knows
    ``prompt_cache_breakpoint``. ``reasoning_content``: wants its own reasoning back in the history.
    """

    match: list[str]
    apis: list[Api] = []
    output_limit: int = UNLIMITED
    default_max_tokens: int = 16384
    name_limit: int = 64
    efforts: list[str] = []
    responses_efforts: list[str] = []
    default_effort: str = ""
    forced_tool: bool = True
    parallel_tools: bool = True
    sampling: bool = True
    both_sampling: bool = True
    reasoning_sampling: bool = True
    stop: bool = True
    thinking: Literal["", "adaptive", "budget"] = ""
    off: Literal["", "disabled", "between_tools"] = ""
    format: bool = False
    system_turns: bool = False
    continue_text: Literal["never", "assistant", "continue_final_message"] = "never"
    unsigned_thinking: bool = False
    chat_tools: Literal["always", "unreasoned", "never"] = "always"
    openai: bool = False
    breakpoints: bool = False
    reasoning_content: bool = False
    phases: bool = False


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What versions of Anthropic's API from the day ``since`` on take, whichever the model. ``sampling`` as a model's;
    ``assistant_documents``: a document straight in a message of the assistant.
    """

    since: str
    sampling: bool = True
    assistant_documents: bool = True


class SchemaWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a schema of a structured output may have at a vendor: ``formats`` of strings; ``words`` are all keywords,
    none where others are told in the description.
    """

    formats: list[str]
    words: list[str] = []


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    date: str
    sources: list[str]
    versions: list[Version]
    schemas: dict[str, SchemaWords]
    anthropic: list[Model]
    openai: list[Model]


@lru_cache(maxsize=1)
def load() -> _Table:
    return msgspec.json.decode(DATA.read_bytes(), type=_Table)


def model_of(dialect: Dialect, name: str) -> Model:
    """The row for what a provider of this dialect calls its model."""
    return anthropic_model(name) if dialect == "anthropic" else openai_model(name)


@lru_cache(maxsize=1024)
def anthropic_model(name: str) -> Model:
    """The row for a model's name in any platform's spelling: ``us.anthropic.claude-opus-4-5-v1:0``,
    ``claude-opus-4.5``.
    """
    name = DOT.sub("-", name.lower())
    return next(row for row in load().anthropic if any(fnmatchcase(name, glob) for glob in row.match))


@lru_cache(maxsize=64)
def anthropic_version(name: str) -> Version:
    """The row for a value of ``anthropic-version``, which is a date. Anything else is taken for the first version."""
    date = name if DATE.fullmatch(name) else ""
    return next(row for row in load().versions if date >= row.since)


@lru_cache(maxsize=1024)
def openai_model(name: str) -> Model:
    """The row for a model's name, with or without a vendor in front: ``openai/gpt-4o``."""
    name = name.lower().rpartition("/")[2]
    return next(row for row in load().openai if any(fnmatchcase(name, glob) for glob in row.match))


def configured_model(provider: Provider, name: str, *above: Capabilities) -> Model:
    """The row for what a provider calls its model, with what the configuration says instead: the provider's patterns
    that fit, and `above` them what an alias and its upstream say. The last word counts.
    """
    fitting = [each for glob, each in provider.capabilities.items() if fnmatchcase(name, glob)]
    changed: dict[str, Any] = {}
    for each in (*fitting, *above):
        changed |= {field: value for field, value in msgspec.structs.asdict(each).items() if value is not None}
    return msgspec.structs.replace(model_of(provider.dialect, name), **changed)


def api_for(client: str, model: Model, reasons_with_tools: bool) -> str:
    """By which API a model of OpenAI's dialect is asked for a request that came by `client`'s: by the same if it can
    be, since nothing is lost on that way; else by chat completions, except for what these refuse, which are tools for a
    model that reasons.
    """
    apis = model.apis or ("chat", "responses")
    refused = reasons_with_tools and model.chat_tools != "always"
    if client in apis and not (client == "chat" and refused):
        return client
    if "responses" in apis and (refused or "chat" not in apis):
        return "responses"
    return "chat"


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


def described(dialect: Dialect, model: Model) -> str:
    """What a model can do, in one line."""
    apis: list[str] = list(model.apis) or [api for api, of in API_DIALECTS.items() if of == dialect]
    parts = [", ".join(apis)]
    if "chat" in apis and model.chat_tools != "always":
        parts.append("tools on chat " + ("never" if model.chat_tools == "never" else "without reasoning only"))
    if model.efforts:
        parts.append("efforts " + " ".join(model.efforts))
        if more := [level for level in model.responses_efforts if level not in model.efforts]:
            parts[-1] += f" (responses: {' '.join(more)} too)"
    if model.thinking:
        parts.append(f"{model.thinking} thinking" + (f", off by {model.off}" if model.off else ", never off"))
    parts += [text for has, text in _lacking(dialect, model) if not has]
    if model.output_limit != UNLIMITED:
        parts.append(f"at most {model.output_limit} tokens")
    return "; ".join(parts)


def _lacking(dialect: Dialect, model: Model) -> tuple[tuple[bool, str], ...]:
    return (
        (model.sampling, "no sampling parameters"),
        (model.reasoning_sampling or not model.efforts, "no sampling parameters while it reasons"),
        (model.forced_tool, "no forced tools"),
        (model.parallel_tools, "no choice of parallel calls"),
        (model.stop, "no stop sequences"),
        (model.format or dialect == "openai", "no structured outputs but by a tool"),
    )
