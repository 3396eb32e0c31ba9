"""Requests made of the SDKs' own types: each field, and each member of each union, once; and what of one can be changed."""

from __future__ import annotations

import collections.abc
import copy
import itertools
import typing
from base64 import b64encode
from typing import Any, get_args, get_origin

import typing_extensions
from anthropic.types import message_create_params as messages_params
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params as responses_params

from tests.unit.translating import LISTS, hints_of, is_required

__all__ = ["changed", "leaves", "objects", "place", "requests", "without"]

KINDS = {
    "messages": messages_params.MessageCreateParamsNonStreaming,
    "chat": chat_params.CompletionCreateParamsNonStreaming,
    "responses": responses_params.ResponseCreateParamsNonStreaming,
}
SCHEMAS = ("parameters", "input_schema", "schema")
ADDRESSES = ("image_url", "url", "file_url", "server_url")
CALL_IDS = ("tool_call_id", "tool_use_id", "call_id")
USER = {"role": "user", "content": "hi"}
FUNCTION = {"name": "look", "parameters": {"type": "object", "properties": {}}}
TOOLS = {
    "chat": {"type": "function", "function": FUNCTION},
    "messages": {"name": "look", "input_schema": FUNCTION["parameters"]},
    "responses": {"type": "function", **FUNCTION, "strict": False},
}
CALLS = {
    "chat": {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    },
    "messages": {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "call_1", "name": "look", "input": {}}],
    },
    "responses": {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
}
BASES: dict[str, dict[str, Any]] = {
    "chat": {"model": "x", "messages": [USER]},
    "messages": {"model": "x", "max_tokens": 2000, "messages": [USER]},
    "responses": {"model": "x", "input": [USER], "store": False},
}
BESIDE = {"tool_choice": "tools", "parallel_tool_calls": "tools", "function_call": "functions"}
LEFT_OUT = ("model", "stream")
Path = tuple[Any, ...]


class Maker:
    """Values of types, each string and each number of them another."""

    def __init__(self) -> None:
        self._numbers = itertools.count(100)

    def text(self, name: str) -> str:
        mark = f"mk{next(self._numbers)}x"
        if name in ADDRESSES:
            return f"https://e.test/{mark}.png"
        if name in CALL_IDS:
            return "call_1"
        if name == "arguments":
            return f'{{"q":"{mark}"}}'
        if name in ("data", "file_data"):
            head = "data:application/pdf;base64," if name == "file_data" else ""
            return head + b64encode(mark.encode() * 3).decode()
        return mark

    def of(self, kind: Any, name: str = "", within: tuple[Any, ...] = ()) -> list[Any]:
        """The values of a type, the plainest first; a type is not within itself."""
        origin = get_origin(kind)
        if origin in (typing_extensions.Required, typing_extensions.NotRequired, typing.Annotated):
            return self.of(get_args(kind)[0], name, within)
        if origin is typing.Union or type(kind).__name__ == "UnionType":
            return [each for part in get_args(kind) if part is not type(None) for each in self.of(part, name, within)]
        if origin is typing.Literal:
            return list(get_args(kind))
        if typing_extensions.is_typeddict(kind):
            return [] if kind in within else self._objects(kind, (*within, kind))
        if origin is dict or kind is dict or origin is collections.abc.Mapping:
            if name in SCHEMAS:
                return [{"type": "object", "properties": {self.text(""): {"description": self.text("")}}}]
            numbers = bool(get_args(kind)) and get_args(kind)[1] is int
            return [{self.text(""): 3 if numbers else self.text("")}]
        if origin in LISTS or "SequenceNotStr" in str(kind):
            each = self.of((get_args(kind) or (str,))[0], name, within)
            return [*([one] for one in each), *([each[:2]] if len(each) > 1 else []), []]
        if kind is bool:
            return [True, False]
        if kind is int:
            return [next(self._numbers) + 4000]
        return [0.5] if kind is float else [self.text(name)]

    def _objects(self, kind: Any, within: tuple[Any, ...]) -> list[dict[str, Any]]:
        """One with what is required, the same with each other field, and each that may be null, and one with all."""
        hints = hints_of(kind)
        base: dict[str, Any] = {}
        for name, hint in hints.items():
            if is_required(kind, name, hint):
                made = self.of(hint, name, within)
                if not made:
                    return []
                base[name] = made[0]
        made, whole = [base], dict(base)
        for name, hint in hints.items():
            found = [each for each in self.of(hint, name, within) if name not in base or each != base[name]]
            if type(None) in (get_args(get_args(hint)[0]) if get_origin(hint) is not None else ()) + get_args(hint):
                found.append(None)
            made += [{**base, name: each} for each in found]
            if found and name not in base:
                whole[name] = found[0]
        return [*made, whole]


def requests(api: str) -> typing.Iterator[tuple[Path, dict[str, Any]]]:
    """Requests of an API, each with the place of what is particular in it."""
    maker = Maker()
    for name, hint in hints_of(KINDS[api]).items():
        if name in LEFT_OUT:
            continue
        for value in maker.of(hint, name):
            request = copy.deepcopy(BASES[api])
            if name in ("messages", "input") and isinstance(value, list):
                turns = [USER, CALLS[api], *value, USER]
                request |= {"tools": [TOOLS[api]], name: turns}
                for number in range(2, len(turns) - 1):
                    yield (name, number), request
                continue
            request[name] = value
            if name in BESIDE:
                request[BESIDE[name]] = [FUNCTION if BESIDE[name] == "functions" else TOOLS[api]]
            yield (name,), request


def at(request: Any, path: Path) -> Any:
    for step in path:
        request = request[step]
    return request


def leaves(value: Any, path: Path = ()) -> typing.Iterator[Path]:
    """Where the values stand that have none in them."""
    if isinstance(value, dict | list) and value:
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, (*path, name))
    else:
        yield path


def objects(value: Any, path: Path = ()) -> typing.Iterator[Path]:
    """Where the objects stand."""
    if isinstance(value, dict):
        yield path
    for name, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from objects(each, (*path, name))


def place(request: dict[str, Any], path: Path) -> tuple[str, set[str]]:
    """A place by its names and the types of what it is in, and all these words."""
    told, words, node = "", set(), request
    for step in path:
        node = node[step]
        told += "[]" if isinstance(step, int) else f".{step}"
        if isinstance(step, str):
            words.add(step)
        kind = (node.get("type") or node.get("role")) if isinstance(node, dict) else None
        if isinstance(kind, str) and not kind.startswith("mk"):
            told += f"<{kind}>"
            words.add(kind)
    return told.lstrip("."), words


def without(request: dict[str, Any], path: Path) -> dict[str, Any]:
    made = copy.deepcopy(request)
    del at(made, path[:-1])[path[-1]]
    return made


def changed(request: dict[str, Any], path: Path) -> dict[str, Any]:
    """The same with another value at `path`."""
    made = copy.deepcopy(request)
    value, inside = at(request, path), at(made, path[:-1])
    if isinstance(value, bool):
        inside[path[-1]] = not value
    elif isinstance(value, str):
        inside[path[-1]] = value.replace("mk", "mq") if "mk" in value else f"{value}zz"
    elif isinstance(value, int | float):
        inside[path[-1]] = value + 1
    return made
