"""What both directions of translation share: what a request hands to its way back, names, ids, usage.

A translator turns one dialect's bytes into the other's and knows neither network nor clock. Modules are named by the
direction of the data: ``openai_to_anthropic`` turns requests and answers of OpenAI's dialect into Anthropic's. A client
that speaks OpenAI in front of Anthropic so needs one direction for its request, and the other for its answer:
`edge.dialects.translators` pairs them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar

from edge.dialects.kept_response import KeptResponse
from edge.dialects.models import Model, model_of
from edge.dialects.numbers import decode_value, encode
from edge.dialects.responses_items import ClientTool
from edge.dialects.scrubbed import scrub
from edge.dialects.sealed import Seal
from edge.dialects.texts import refuse_stand_in
from edge.errors import UNREADABLE, InvalidJSON, InvalidRequest, InvalidValue, UpstreamBadResponse
from edge.hooks import Usage
from edge.routes import Dialect
from edge.slices import Steps

__all__ = [
    "EMPTY_SCHEMA",
    "Context",
    "Dropped",
    "ToolNames",
    "Translated",
    "Translation",
    "anthropic_id",
    "arguments_object",
    "decode",
    "decode_answer",
    "decode_value",
    "digest",
    "encode",
    "encode_request",
    "error_message",
    "error_object",
    "invalid",
    "openai_id",
    "openai_usage",
    "original_id",
    "portions_of",
    "short_name",
    "wants_stream",
]

NAME = re.compile(r"[a-zA-Z0-9_-]+\Z")
SHORTENED = re.compile(r"_[0-9a-f]{8}\Z")
"""How a name that `short_name` has made ends: one of the client's own that ends so might be the same."""
OPENAI_ID_LIMIT = 40
"""OpenAI refuses a longer ``tool_call_id``."""
MAPPED = "edge_"
MAX_ERROR = 65536
MAX_MESSAGE = 8192
"""Bytes of an error that is looked into, and characters of its message that are passed on: what is larger quotes what
the client sent, and would take its time on the loop."""
MAX_DROPPED = 32
MAX_FIELD = 64
UNSAFE = re.compile(r"[^a-zA-Z0-9_.-]")
OWN_SEAL = Seal()
EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}


class ToolNames(dict[str, str]):
    """Names of tools as they are sent -> as the client knows them, those that had to be changed."""

    own: frozenset[str] = frozenset()
    limit = 64
    """Characters that a name may have."""

    def keep(self, request: dict[str, Any]) -> None:
        """Keep the names in a request of either dialect, or in a part of one, from being given to another tool."""
        self.own |= {name for name in names_in(request) if SHORTENED.search(name)}


def names_in(request: dict[str, Any]) -> Iterator[str]:
    """The names of the tools that a request defines, and of those that were called in its history."""
    named: list[Any] = []
    for key in ("tools", "functions"):
        if isinstance(listed := request.get(key), list):
            named += listed
    messages = request.get("messages", request.get("input"))
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            if "name" in message:
                named.append(message)
            if (function := message.get("function_call")) is not None:
                named.append(function)
            if isinstance(content := message.get("content"), list):
                named += content
            if isinstance(calls := message.get("tool_calls"), list):
                named += calls
    for tool in named:
        if isinstance(tool, dict):
            function = tool.get("function")
            name = (function if isinstance(function, dict) else tool).get("name")
            if isinstance(name, str):
                yield name


def portions_of(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A request in parts, each of which is one: its fields without the messages, and these by the hundred."""
    said = next((name for name in ("messages", "input") if isinstance(request.get(name), list)), "")
    messages = request.get(said, [])
    yield {name: value for name, value in request.items() if name != said}
    for start in range(0, len(messages), 100):
        yield {said: messages[start : start + 100]}


@dataclass(slots=True)
class Context:
    """What the way back must know of a request. ``model`` is the name the provider was asked for.

    ``tool_names``: names as sent -> names as the client knows them. ``output_tool``: the tool that stands for a
    structured output, "" for none. ``legacy_functions``: the client speaks of ``functions``, not of ``tools``.
    ``beta``: the client reads the fields of Anthropic's beta API. ``warnings`` collects what a translation met and
    could not make sense of, by name: for a counter.

    ``input_tokens`` is an estimate of the request, 0 where nobody has needed it yet; ``measure`` makes it then.
    ``told`` is what a client has been told of an answer that its provider did not count. ``length`` counts a text's
    characters, and ``written`` estimates the output, where an answer is translated without its long texts. ``seal``
    closes and opens the envelopes in which thoughts go by the other vendor's API. ``client_tools``: the functions, by
    their names as the client knows them, that stand for its tools of other kinds; ``echo``: what a response says of its
    request; ``keep``: the response is one that is kept here.
    """

    model: str = ""
    stream: bool = False
    include_usage: bool = False
    output_tool: str = ""
    legacy_functions: bool = False
    input_tokens: int = 0
    beta: bool = False
    measure: Callable[[], int] | None = None
    told: Usage | None = None
    length: Callable[[str], int] = len
    written: Callable[[], int] | None = None
    request_id: str = ""
    seal: Seal = OWN_SEAL
    client_tools: dict[str, ClientTool] = field(default_factory=dict)
    echo: dict[str, Any] = field(default_factory=dict)
    keep: KeptResponse | None = None
    tool_names: ToolNames = field(default_factory=ToolNames)
    warnings: set[str] = field(default_factory=set)

    def estimated_input(self) -> int:
        """The tokens of the request, by an estimate that is made once."""
        if not self.input_tokens and self.measure is not None:
            self.input_tokens = self.measure()
        return self.input_tokens

    def counted(self, usage: Usage | None, written: Callable[[], int]) -> Usage:
        """What a client is told: `usage` as the provider gave it; by an estimate, which is noted, what it did not
        count. A zero is no count of a prompt, nor of an answer that says something. `written` estimates the output.
        """
        known = usage if usage is not None else Usage()
        prompt = max(0, known.input) + max(0, known.cache_read) + max(0, known.cache_write)
        output = known.output if known.output > 0 else (self.written or written)()
        if usage is not None and prompt and (usage.output > 0 or (usage.output == 0 and not output)):
            return usage
        self.warnings.add("usage_estimated")
        self.told = known.told(known.input if prompt else self.estimated_input(), output)
        return self.told


class Dropped:
    """The names of fields that could not cross, each once, in the order met.

    Some are the client's own words and all go into a header: they are cut to characters and a number that fit there.
    """

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        if len(self._names) < MAX_DROPPED:
            self._names[UNSAFE.sub("?", name[:MAX_FIELD])] = None

    def unknown(self, request: dict[str, Any], taken: frozenset[str], neutral: dict[str, Any]) -> None:
        """The fields of a request that are not `taken`, but for those that say what is so without them."""
        for name, value in request.items():
            if name not in taken and value is not None and (name not in neutral or value != neutral[name]):
                self.add(name)

    def beside(self, at: str, value: dict[str, Any], known: frozenset[str]) -> None:
        """The fields of an object `at` a place that are not `known`, but for those that say nothing."""
        for name, each in value.items():
            if name not in known and each:
                self.add(f"{at}.{name}")

    def names(self, *, strict: bool) -> tuple[str, ...]:
        """Raises InvalidRequest naming them all where the operator wants nothing lost."""
        names = tuple(self._names)
        if names and strict:
            listed = ", ".join(f"'{name}'" for name in names)
            raise InvalidRequest(f"These fields cannot be translated for this model's API: {listed}.", param=names[0])
        return names


@dataclass(frozen=True, slots=True)
class Translated:
    """A request in the other dialect; ``dropped`` for the header ``x-edge-dropped``."""

    body: bytes
    dropped: tuple[str, ...]
    context: Context


class Translation(ABC):
    """A request on its way to the provider that calls the model `model`, in the other dialect, which is ``to``.

    ``facts`` is what that model can do: `facts`, else what is known of its name. `version` is the ``anthropic-version``
    that it goes by, if it goes to Anthropic. With `system_first` an OpenAI server takes a system message at the
    beginning alone. With `strict`, a field that cannot cross is refused instead of dropped. ``result`` is the request
    there, ``take`` is to be called for each message.
    """

    __slots__ = ("context", "dropped", "facts", "request", "result", "strict", "system_first", "take", "version")

    to: ClassVar[Dialect]
    request: dict[str, Any]
    take: Callable[[int, Any], None]

    def __init__(
        self,
        model: str,
        *,
        request_id: str = "",
        strict: bool = False,
        version: str = "",
        system_first: bool = False,
        facts: Model | None = None,
    ) -> None:
        self.facts = model_of(self.to, model) if facts is None else facts
        self.context = Context(model=model, request_id=request_id)
        self.strict = strict
        self.version = version
        self.system_first = system_first
        self.context.tool_names.limit = self.facts.name_limit
        self.dropped = Dropped()
        self.result: dict[str, Any] = {"model": model}

    @abstractmethod
    def begin(self, request: dict[str, Any]) -> list[Any]:
        """The messages, which are to be taken next. Raises InvalidRequest, InvalidValue, as all that follows does."""

    @abstractmethod
    def tools(self) -> list[Any]:
        """The tools, which are next after the messages."""

    @abstractmethod
    def take_tool(self, number: int, tool: Any) -> None:
        """One of the tools. `number` is its place."""

    @abstractmethod
    def end(self) -> None:
        """All is taken: finish the result."""

    def steps(self, request: dict[str, Any]) -> Steps[None]:
        for index, message in enumerate(self.begin(request)):
            self.take(index, message)
            yield
        for number, tool in enumerate(self.tools()):
            self.take_tool(number, tool)
            yield
        self.end()

    def at_once(self, body: bytes | dict[str, Any]) -> Translated:
        """Raises InvalidJSON, InvalidRequest, InvalidValue."""
        request = decode(body) if isinstance(body, bytes) else body
        self.context.tool_names.keep(request)
        messages, take = self.begin(request), self.take
        for index, message in enumerate(messages):
            take(index, message)
        for number, tool in enumerate(self.tools()):
            self.take_tool(number, tool)
        self.end()
        return Translated(encode_request(self.result), self.dropped.names(strict=self.strict), self.context)


def decode(body: bytes) -> dict[str, Any]:
    """A request's body. Raises InvalidJSON, InvalidRequest."""
    try:
        value = decode_value(body)
    except UNREADABLE as error:
        raise InvalidJSON(f"The body is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def encode_request(request: dict[str, Any]) -> bytes:
    """Raises InvalidRequest for arguments of a tool so deep that nobody could read them again."""
    try:
        return encode(request)
    except RecursionError:
        raise InvalidRequest("The request is nested too deeply.", param="messages") from None


def decode_answer(body: bytes) -> dict[str, Any]:
    """A provider's whole answer. Raises UpstreamBadResponse."""
    try:
        value = decode_value(body)
    except UNREADABLE:
        value = None
    if not isinstance(value, dict):
        raise UpstreamBadResponse("The provider's answer is not a JSON object.")
    return value


def error_object(body: bytes) -> dict[str, Any]:
    """The ``error`` object of an error's body, {} for a body that has none, or is too large to be looked into."""
    if len(body) > MAX_ERROR:
        return {}
    try:
        value = decode_value(body)
    except UNREADABLE:
        return {}
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def error_message(error: dict[str, Any], otherwise: str) -> str:
    """What an ``error`` object says, without keys; `otherwise` if it says nothing."""
    message = error.get("message")
    return scrub((message if isinstance(message, str) and message else otherwise)[:MAX_MESSAGE])


def arguments_object(text: Any) -> dict[str, Any] | None:
    """A tool call's arguments as an object: {} for blank ones, None for anything that is no JSON object."""
    if isinstance(text, dict):
        return text  # some compatible servers skip the encoding
    if text is None or (isinstance(text, str) and not text.strip()):
        return {}
    try:
        value = decode_value(text)
    except (*UNREADABLE, TypeError):
        return None
    return value if isinstance(value, dict) else None


def invalid(message: str, param: str) -> InvalidValue:
    """The error for a request that cannot mean anything in the other dialect: to be raised."""
    return InvalidValue(message, param=param)


def wants_stream(request: dict[str, Any]) -> bool:
    """Raises InvalidValue."""
    stream = request.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise invalid("The parameter 'stream' must be true or false.", "stream")
    return stream is True


def digest(text: str) -> str:
    """An opaque name for a user: 64 characters, what OpenAI allows a ``safety_identifier``."""
    refuse_stand_in(text)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def anthropic_id(original: str) -> str:
    """A tool call's id in the characters Anthropic takes, ``[a-zA-Z0-9_-]``; `original_id` undoes it."""
    if NAME.match(original) and not original.startswith(MAPPED):
        return original
    refuse_stand_in(original)
    return MAPPED + urlsafe_b64encode(original.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def original_id(mapped: str) -> str:
    """The id that `anthropic_id` made this of, or the id itself."""
    if not mapped.startswith(MAPPED):
        return mapped
    text = mapped[len(MAPPED) :]
    try:
        original = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "surrogatepass")
    except ValueError:
        return mapped
    return original if anthropic_id(original) == mapped else mapped


def openai_id(mapped: str) -> str:
    """A tool call's id in OpenAI's length; the same id always becomes the same."""
    original = original_id(mapped)
    return original if len(original) <= OPENAI_ID_LIMIT else "call_" + digest(original)[:32]


def short_name(name: str, names: ToolNames) -> str:
    """A tool's name in the characters and the length both dialects take; a changed one is entered into `names`.

    It is made of the name alone, so it is the same in every turn and process, unless another tool is called so.
    """
    if len(name) <= names.limit and NAME.match(name):
        return name
    start = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[: names.limit - 9]
    told = name
    while True:
        changed = f"{start}_{digest(told)[:8]}"
        if changed not in names.own and names.setdefault(changed, name) == name:
            return changed
        told += " "


def openai_usage(usage: Usage, *, estimated: bool = False) -> dict[str, Any]:
    """``types/completion_usage.py``, with a mark where nobody has counted. OpenAI's prompt includes what came from the
    cache, Anthropic's input does not.
    """
    read, written = max(0, usage.cache_read), max(0, usage.cache_write)
    prompt, output = max(0, usage.input) + read + written, max(0, usage.output)
    counts = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": max(0, usage.reasoning)},
    }
    return {**counts, "estimated": True} if estimated else counts
