"""Long lists of a YAML file, read by the shapes of their items.

The items of a long list differ in few words. One item of each shape is composed by the YAML library, which says what it
means; where others have the same shape, other words stand in the same places, and need only be put there. What is not
certain to mean the same (an anchor, a tag, an escape, a text of several lines, an unusual character) stays in the text.
So do the first and the last item of every run: where the library finds them one behind the other in one list, the run
is of that list, and nothing that began before it or ends behind it changes what it means.
"""

from __future__ import annotations

import datetime
import json
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import yaml

__all__ = ["Item", "Run", "put_back", "shortened"]

MANY = 100
"""With fewer items there is nothing to gain."""
SHAPES, ALIKE = 500, 16
"""So many are composed, at two milliseconds each, and so many of them tried; items of other shapes stay in the text."""
INDENTS = 4
"""Lists at so many depths are looked at: each is a pass over the text."""
DEPTH, LENGTH = 20, 4096
"""So deep may an item be, and of so many characters."""

_REST = r"[\w.@+*/-]*(?:[ :]\w[\w.@+*/-]*)*"
_PLAIN = rf"\w{_REST}"
_TEXT = rf"(?!(?i:true|false|null))[^\W\d]{_REST}"
"""What is text whatever follows: other types begin otherwise, or with these words."""
_NUMBER = r"0|[1-9][0-9]{0,17}"
_DOUBLE, _SINGLE = r"[ !#-\[\]-~\w]*", r"[ !#-&(-\[\]-~\w]*"
_COMMENT = r"\#[ -~\w]*"
_WORD = re.compile(
    rf"((?<![^ \[{{,:])(?>\"{_DOUBLE}\"|'{_SINGLE}'|(?<!:){_PLAIN})(?= *(?:[,\]}}\n]|\Z)| +\#)"
    rf"|(?<![^ \n]){_COMMENT}(?=\n|\Z))"
)
"""A scalar that is one token wherever a value may stand, or a comment. A key is neither: a colon is behind it."""
_STRUCTURE = re.compile(r'(?:[A-Za-z0-9_ \n\[\]{},:-]|"[A-Za-z0-9_-]+":)*')
"""What may stand between them: keys, indicators and spaces."""
_DASH = re.compile(r"\n( *)- ")
_QUOTES = "\"'"
_OUTLINE = dict.fromkeys(map(ord, "-:_./*+@" + string.ascii_letters + string.digits))
"""Without these, items of one shape are equal, nearly all of them."""

Compose = Callable[[str], yaml.Node | None]
"""The node of a text; raises yaml.YAMLError."""
Plain = Callable[[str], Any]
"""The value of a plain scalar; raises ValueError."""


@dataclass(slots=True, eq=False)
class _Shape:
    """``node`` is that of the first item of this shape, as if it began in line 0; ``lines`` are below its first.
    ``match`` finds the words of an item, which make ``json`` its data as JSON: there is nothing in them that has to be
    escaped. Of some the type is ``open``: they become JSON first.
    """

    node: yaml.Node
    lines: int
    match: Callable[[str], re.Match[str] | None]
    json: str
    open: tuple[bool, ...]

    def value(self, words: tuple[str, ...], plain: Plain) -> Any:
        if self.open:
            words = tuple(
                _json_of(plain(word)) if is_open else word for word, is_open in zip(words, self.open, strict=True)
            )
        return msgspec.json.decode(self.json % words)


class Item:
    """Stands for an item's node: ``value`` is its data, ``line`` (from 0) where the item begins."""

    __slots__ = ("line", "shape", "value")
    tag: ClassVar[str] = "tag:yaml.org,2002:str"
    """That of text, whose value is its data too."""
    id: ClassVar[str] = "item"
    start_mark: ClassVar[None] = None

    def __init__(self, line: int, shape: _Shape, value: Any) -> None:
        self.line = line
        self.shape = shape
        self.value = value

    @property
    def node(self) -> yaml.Node:
        """In which lines are counted from that of the item."""
        return self.shape.node

    @property
    def start(self) -> tuple[int, int]:
        """Line and column of what stands behind the dash."""
        return self.line + self.node.start_mark.line, self.node.start_mark.column


Run = list[Item]
"""Items that follow each other; the first and the last are still in the text."""


def shortened(text: str, compose: Compose, plain: Plain) -> tuple[str, list[Run]]:
    """`text` with empty lines for the items of long lists, and these.

    Raises ValueError where `plain` does.
    """
    runs: list[Run] = []
    dashes = Counter(_DASH.findall(text)).most_common(INDENTS)
    for indent in sorted(indent for indent, count in dashes if count >= MANY):
        text = _without_runs(text, indent, runs, compose, plain)
    return text, runs


def _without_runs(text: str, indent: str, runs: list[Run], compose: Compose, plain: Plain) -> str:
    dash = f"\n{indent}- "
    before, *chunks = text.split(dash)
    left = [before]
    shapes: dict[str, list[_Shape]] = {}
    count = 0
    line = before.count("\n") + 1
    run: Run = []

    def end(following: int) -> None:
        """Of a run, if there is one, whose last chunk is the one before `following`."""
        begin = following - len(run)
        if len(run) > 2:
            left.extend((dash, chunks[begin], "\n" * (run[-1].line - run[1].line), dash, chunks[following - 1]))
            runs.append(run)
        else:
            left.extend(part for chunk in chunks[begin:following] for part in (dash, chunk))

    shape: _Shape | None = None
    for number, chunk in enumerate(chunks):
        found = shape.match(chunk) if shape is not None else None
        if found is None:
            alike = shapes.setdefault(chunk.translate(_OUTLINE), [])
            for shape in alike:
                if found := shape.match(chunk):
                    break
            else:
                shape = (
                    _shape_of(f"{indent}- ", chunk, compose, plain) if count < SHAPES and len(alike) < ALIKE else None
                )
                count += 1
                found = shape.match(chunk) if shape is not None else None
                if shape is not None:
                    alike.append(shape)
        if shape is None or found is None:
            end(number)
            left += (dash, chunk)
            run = []
            line += 1 + chunk.count("\n")
            continue
        run.append(Item(line, shape, shape.value(found.groups(), plain)))
        line += 1 + shape.lines
    end(len(chunks))
    return "".join(left)


def _shape_of(dash: str, chunk: str, compose: Compose, plain: Plain) -> _Shape | None:
    """The shape of an item, None for one that has to stay in the text."""
    if len(chunk) > LENGTH:
        return None
    parts = _WORD.split(chunk)
    if not all(map(_STRUCTURE.fullmatch, parts[::2])):
        return None
    at, pattern = len(dash), ""
    places: list[tuple[int, int]] = []
    forms: list[str] = []
    is_open: list[bool] = []
    for number, part in enumerate(parts):
        if number % 2 == 0:
            pattern += re.escape(part)
        elif part[0] == "#":
            pattern += _COMMENT
        else:
            other, form = _others(part)
            pattern += f"({other})" if part[0] not in _QUOTES else f"{part[0]}({other}){part[0]}"
            forms.append(form)
            is_open.append(other is _PLAIN)
            places.append((at, at + len(part)))
        at += len(part)
    try:
        root = compose(f"{dash}{chunk}\n")
        if not isinstance(root, yaml.SequenceNode) or len(root.value) != 1:
            return None
        (node,) = root.value
        found: list[tuple[int, int]] = []
        data = _as_json(node, iter(forms), found)
    except (yaml.YAMLError, ValueError):
        return None
    if found != places:
        return None
    return _Shape(node, chunk.count("\n"), re.compile(pattern).fullmatch, data, tuple(is_open) if any(is_open) else ())


def _json_of(value: object) -> str:
    """Raises ValueError for what JSON has not, or has with less precision."""
    if isinstance(value, datetime.date | bytes) or (isinstance(value, int) and abs(value) >= 1 << 63):
        raise ValueError("a value that JSON has not")
    return json.dumps(value, allow_nan=False)


def _others(word: str) -> tuple[str, str]:
    """What may stand in a word's place, as a pattern, and its form in JSON."""
    if word[0] in _QUOTES:
        return _DOUBLE if word[0] == '"' else _SINGLE, '"%s"'
    if re.fullmatch(_NUMBER, word):
        return _NUMBER, "%s"
    return (_TEXT, '"%s"') if re.fullmatch(_TEXT, word) else (_PLAIN, "%s")


def _as_json(node: yaml.Node, forms: Iterator[str], found: list[tuple[int, int]], depth: int = 0) -> str:
    """The data of a node as JSON, with forms for its words; adds where they begin and end. Raises ValueError for what
    has no shape.
    """
    if isinstance(node, yaml.ScalarNode):
        found.append((node.start_mark.index, node.end_mark.index))
        return next(forms, "")
    if depth > DEPTH:
        raise ValueError("it is deep")
    if isinstance(node, yaml.SequenceNode):
        return f"[{','.join(_as_json(part, forms, found, depth + 1) for part in node.value)}]"
    keys = [key.value for key, _ in node.value]
    if any(key.tag != Item.tag for key, _ in node.value) or len(set(keys)) < len(keys):
        raise ValueError("a key is unusual")
    # A key has no sign that JSON or '%' would take for its own: it stands in what is between words.
    parts = [f'"{key.value}":{_as_json(part, forms, found, depth + 1)}' for key, part in node.value]
    return f"{{{','.join(parts)}}}"


def put_back(root: yaml.Node | None, runs: list[Run]) -> bool:
    """Put the items into the lists that their first and last ones are in; whether there is such a list for each run."""
    awaited = {run[0].start: run for run in runs}
    for node in _lists(root):
        value: list[Any] = []
        for place, part in enumerate(node.value):
            value.append(part)
            run = awaited.get((part.start_mark.line, part.start_mark.column))
            if run is not None and place + 1 < len(node.value):
                mark = node.value[place + 1].start_mark
                if (mark.line, mark.column) == run[-1].start:
                    value += run[1:-1]
                    del awaited[run[0].start]
        node.value = value
    return not awaited


def _lists(root: yaml.Node | None) -> Iterator[yaml.SequenceNode]:
    """Each once, whatever refers to it."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            yield node
        else:
            waiting += [part for pair in node.value for part in pair]
