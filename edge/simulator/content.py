"""What the simulated models say: words, tool arguments and vectors, all from a hash of the prompt."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from typing import Any

__all__ = ["Content", "Tool", "called", "content_for", "count_tokens", "embedding", "value_for"]

WORDS = (
    "the edge answers every question with a calm and measured sentence that depends on nothing but its prompt so that "
    "tests can rely on each word of it while demos still read like language and streams have something to show as "
    "tokens arrive one after another in a steady rhythm until the thought is complete and the model rests"
).split()


NONCE = re.compile(r"nonce:[A-Za-z0-9]{4,64}")
"""A marker in a prompt that the answer repeats, so that an answer can be told from somebody else's."""

COMMAND = "echo simulated"
COMMANDS = ("cmd", "command")
"""What a coding agent's tools are called with, by the names of Codex's and Claude Code's parameters; a list of words
where that is wanted.
"""


Tool = tuple[str, dict[str, Any]]
"""A tool's name, and the schema of its arguments."""


def called(tools: list[Tool], named: str | None) -> Tool:
    """Which of some tools is called: the one that is named, else the first that runs commands, else the first."""
    runs = [tool for tool in tools if not {*COMMANDS}.isdisjoint(tool[1].get("properties") or {})]
    return next((tool for tool in tools if tool[0] == named), [*runs, *tools][0])


class Content:
    """``words`` joined give the text; ``tool`` is (id, name, arguments) where the answer is a tool call instead;
    ``cut`` says that the token limit ended it.
    """

    __slots__ = ("cut", "seed", "tool", "words")

    def __init__(self, seed: bytes, words: list[str], tool: tuple[str, str, str] | None = None, cut: bool = False):
        self.seed = seed
        self.words = words
        self.tool = tool
        self.cut = cut

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def tokens(self) -> int:
        """Output tokens: one a word, one for every four characters of a tool call's arguments."""
        return len(self.words) if self.tool is None else max(1, (len(self.tool[2]) + 3) // 4)

    def id(self, prefix: str) -> str:
        return prefix + self.seed.hex()[:24]


def count_tokens(value: Any) -> int:
    """Prompt tokens: one for every four characters of text in it, at least one."""
    return max(1, (_characters(value) + 3) // 4)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_characters(item) for item in value.values())
    if isinstance(value, list):
        return sum(_characters(item) for item in value)
    return 0


def content_for(
    prompt: Any,
    *,
    words: int | None,
    limit: int | None,
    announced: str = "",
    tool: Tool | None = None,
    schema: dict[str, Any] | None = None,
    choice: int = 0,
) -> Content:
    """The answer to a prompt: a call of `tool` (name, schema), an instance of `schema`, or a sentence, which begins
    with `announced`.
    """
    seed = hashlib.sha256(json.dumps([prompt, choice], sort_keys=True).encode()).digest()
    if tool is not None:
        name, parameters = tool
        arguments = json.dumps(value_for(parameters, seed), separators=(",", ":"))
        return Content(seed, [], ("call_" + seed.hex()[:24], name, arguments))
    if schema is not None:
        text = json.dumps(value_for(schema, seed), separators=(",", ":"))
        pieces = [text[i : i + 8] for i in range(0, len(text), 8)]
        return Content(seed, pieces)
    count = 6 + seed[0] % 18 if words is None else words
    start = seed[1]
    text_words = [WORDS[(start + i * (1 + seed[2] % 5)) % len(WORDS)] for i in range(count)]
    said = [text_words[0].capitalize(), *(" " + word for word in text_words[1:])] if text_words else []
    if said:
        said[-1] += "."
    if (nonce := NONCE.search(json.dumps(prompt))) is not None:
        said.append(f" {nonce[0]}")
    if announced:
        said.insert(0, announced + " ")
    if limit is not None and limit < len(said):
        return Content(seed, said[:limit], cut=True)
    return Content(seed, said)


def _property(name: str, schema: Any, seed: bytes, depth: int) -> Any:
    if name in COMMANDS and isinstance(schema, dict):
        return COMMAND.split() if schema.get("type") == "array" else COMMAND
    return value_for(schema, seed, depth + 1)


def value_for(schema: Any, seed: bytes, depth: int = 0) -> Any:
    """An instance of a JSON Schema, as far as models' tools use it: with the properties that it requires, or all where
    it requires none. What an agent would run as a command is harmless.
    """
    if not isinstance(schema, dict) or depth > 16:
        return {}
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][seed[3] % len(schema["enum"])]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return value_for(schema[key][0], seed, depth + 1)
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        properties = schema.get("properties") or {}
        names = [name for name in schema.get("required") or properties if name in properties]
        return {name: _property(name, properties[name], seed, depth) for name in names}
    if kind == "array":
        return [value_for(schema.get("items", {"type": "string"}), seed, depth + 1)]
    if kind in ("integer", "number"):
        return max(int(schema.get("minimum", 0)), seed[4] % 100)
    if kind == "boolean":
        return seed[5] % 2 == 0
    if kind == "null":
        return None
    return WORDS[seed[6] % len(WORDS)]


def embedding(text: Any, dimensions: int, encoded: bool) -> Any:
    """A unit-ish vector of a text: floats, or base64 of little-endian 32-bit floats as OpenAI sends them."""
    seed = hashlib.sha256(json.dumps(text).encode()).digest()
    values = [((seed[i % 32] + i * 7) % 256 - 128) / 1024 for i in range(dimensions)]
    if encoded:
        return base64.b64encode(struct.pack(f"<{dimensions}f", *values)).decode()
    return values
