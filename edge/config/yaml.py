"""YAML as a configuration is written in it: plain data, and the line of each of its paths.

A file may have a hundred thousand keys: libyaml parses where PyYAML was built with it, what is
alike is read by `edge.config.lists`, and lines are looked for when something is wrong.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar

import yaml

from edge.config.lists import Item, Run, put_back, shortened
from edge.config.paths import PathKey, dotted
from edge.config.words import yaml_words

__all__ = ["Lines", "line_of", "read_yaml", "write_yaml"]

Lines = yaml.Node
"""What `line_of` looks for lines in."""


class _Resolver:
    """Which type a plain scalar is, by YAML 1.2's booleans: only true and false. ``off``, ``on``, ``yes`` and ``no``
    mean the words. There are no types by path, which PyYAML's own looks for at every node.
    """

    TYPES: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return self.type_of(value) if implicit[0] else TEXT
        return SEQUENCE if kind is yaml.SequenceNode else MAPPING

    @classmethod
    def type_of(cls, value: str) -> str:
        for tag, pattern in cls.TYPES.get(value[:1], ()):
            if pattern.match(value):
                return tag
        return TEXT


for _first in "tTfF":
    _Resolver.TYPES.setdefault(_first, []).append(
        ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"))
    )
MAX_EXPANDED = 1_000_000
"""Values of a file with aliases, once each of them is what it stands for: ten times those of the largest without."""
MAPPING, SEQUENCE, TEXT = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:str"
MERGE = "tag:yaml.org,2002:merge"
_PURE: Any = type("Pure", (_Resolver, yaml.SafeLoader), {})
_FAST: Any = type("Fast", (_Resolver, yaml.CSafeLoader), {}) if yaml.__with_libyaml__ else _PURE
"""libyaml reads ten times as fast. What it cannot read is read again without it, which decides, in its own words."""


def read_yaml(text: str) -> tuple[Any, Lines | None, list[str]]:
    """The data of a text, what knows its lines, and what is wrong with it: without data where it cannot be read, with
    data where keys are repeated.

    Raises ValueError for a text with characters that YAML has not, and RecursionError.
    """
    aliases = "&" in text and "*" in text
    with contextlib.suppress(yaml.YAMLError, ValueError, RecursionError):
        short, runs = shortened(text, _node_of, _plain)
        if runs:
            return _compose(_FAST(short), runs, aliases=aliases)
    with contextlib.suppress(yaml.YAMLError, ValueError):
        return _compose(_FAST(text), aliases=aliases)
    try:
        return _compose(_PURE(text), aliases=aliases)
    except yaml.MarkedYAMLError as error:
        words, line = yaml_words(error)
        return None, None, [f"line {line}: {words}" if line is not None else words]
    except yaml.YAMLError:
        return None, None, ["has a character that text has not, such as a zero byte: write the file again as UTF-8"]


def _node_of(text: str) -> Lines | None:
    loader = _FAST(text)
    try:
        node: Lines | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


def _plain(word: str) -> Any:
    """The value of a plain scalar. Raises ValueError for a date or a number that there is not."""
    if word.isdigit() and word.isascii() and (word[0] != "0" or word == "0"):
        return int(word)
    tag = _Resolver.type_of(word)
    return word if tag == TEXT else _typed(tag, word)


@lru_cache(1000)
def _typed(tag: str, word: str) -> Any:
    return yaml.constructor.SafeConstructor().construct_object(yaml.ScalarNode(tag, word))


def _compose(
    loader: Any, runs: list[Run] | None = None, *, aliases: bool = False
) -> tuple[Any, Lines | None, list[str]]:
    """With what is left out of the text in `runs`; with `aliases`, there may be some. Raises yaml.YAMLError,
    ValueError.
    """
    try:
        node = loader.get_single_node()
        if aliases and node is not None and _expanded(node, {}) > MAX_EXPANDED:
            return None, None, [f"aliases (*name) stand for more than {MAX_EXPANDED:,} values: write fewer"]
        if runs and not put_back(node, runs):
            raise yaml.YAMLError
        if node is None:
            return {}, None, []
        try:
            return _construct(loader, node), node, []
        except _RepeatedError:
            repeated = list(_repeated(node, ())) or ["two keys of a mapping mean the same"]
            return _construct(loader, node, repeats=True), node, repeated
    finally:
        loader.dispose()


def _construct(loader: Any, node: yaml.Node, *, repeats: bool = False) -> Any:
    """The plain data of a node; with `repeats` the last of a key that is repeated.

    A hundred thousand keys come by here, so what is usual is first and short.
    """
    tag = node.tag
    if tag == MAPPING and type(node) is yaml.MappingNode:
        own = len(node.value)
        data = {}
        if any(key_node.tag == MERGE for key_node, _ in node.value):
            if not repeats and any(_repeated(node, ())):
                raise _RepeatedError
            loader.flatten_mapping(node)
            own = 0
        for key_node, value_node in node.value:
            if type(key_node) is not yaml.ScalarNode:
                raise yaml.constructor.ConstructorError(None, None, "a key is not a word", key_node.start_mark)
            key = key_node.value if key_node.tag == TEXT else loader.construct_object(key_node)
            data[key] = value_node.value if value_node.tag == TEXT else _construct(loader, value_node, repeats=repeats)
        if len(data) < own and not repeats:
            raise _RepeatedError
        return data
    if tag == SEQUENCE and type(node) is yaml.SequenceNode:
        return [each.value if each.tag == TEXT else _construct(loader, each, repeats=repeats) for each in node.value]
    return loader.construct_object(node, deep=True)


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node is, where each alias is what it stands for; too many where one stands for itself."""
    found = known.get(id(node))
    if found is not None:
        return found
    known[id(node)] = MAX_EXPANDED + 1
    size = 1
    if type(node) is yaml.MappingNode:
        size += sum([1 + _expanded(value_node, known) for _, value_node in node.value])
    elif type(node) is yaml.SequenceNode:
        size += sum([_expanded(item, known) for item in node.value])
    known[id(node)] = size
    return size


class _RepeatedError(Exception):
    """A key appears twice in a mapping."""


def _repeated(node: yaml.Node, path: PathKey) -> Iterator[str]:
    """Keys that appear twice in a mapping, anywhere in a node."""
    if type(node) is yaml.MappingNode:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen and key != "<<":
                yield f"line {key_node.start_mark.line + 1}: {dotted((*path, key))}: the key appears twice"
            seen.add(key)
        for key_node, value_node in node.value:
            if type(value_node) is not yaml.ScalarNode:
                yield from _repeated(value_node, (*path, str(key_node.value)))
    elif type(node) is yaml.SequenceNode:
        for index, item in enumerate(node.value):
            if type(item) is not yaml.ScalarNode:
                yield from _repeated(item, (*path, index))


def line_of(node: Lines, path: PathKey) -> int:
    """The line of a path, or of as much of it as there is."""
    above, line = 0, node.start_mark.line
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in reversed(node.value) if str(pair[0].value) == part), None)
            if found is None:
                break
            line, node = above + found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            item: Lines | Item = node.value[part]
            if isinstance(item, Item):
                above, item = item.line, item.node
            node = item
            line = above + node.start_mark.line
        else:
            break
    return int(line) + 1


class _Writer(yaml.SafeDumper):
    """Writes what is there twice twice: nobody wants to edit an anchor."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def write_yaml(data: object) -> str:
    """Plain data as a configuration is written, in the order that it has."""
    return yaml.dump(data, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=110)
