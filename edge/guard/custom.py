"""What a configuration wants to have found beside what everybody does: names that it lists, and patterns.

Both take time in proportion to a text. Of a text that comes in pieces as much waits as may be the beginning of one: of
listed names, what one of them begins with; for a pattern, as many characters as its configuration says.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import msgspec

from edge import config
from edge.config.patterns import compiled
from edge.guard.disguise import AsRead, open_at

__all__ = ["Custom", "Customs", "Pieces", "customs_of"]

MOST_HELD = 4096
"""Characters that wait, and of a match that goes on."""
Found = tuple[int, int, int]
Trie = dict[str, Any]
"""By character what may follow it; "" where a name ends."""


class Custom:
    """``name`` is what it is called; ``told`` says what it is, in bytes."""

    def __init__(self, settings: config.PiiCustom) -> None:
        """Raises PatternError."""
        self.name = settings.name
        self.told = msgspec.json.encode(settings)
        self._sorted = sorted({each.lower() for each in settings.literals})
        self._listed = re.compile(pattern_of(self._sorted), re.IGNORECASE) if self._sorted else None
        self._longest = max(map(len, self._sorted), default=0)
        self._pattern = compiled(settings.pattern) if settings.pattern is not None else None
        self._waits = settings.longest if self._pattern is not None else 0

    def spans(self, text: str, at: int = 0) -> list[tuple[int, int]]:
        """Where it stands from `at` on, in characters."""
        found: list[tuple[int, int]] = []
        for pattern in (self._listed, self._pattern):
            if pattern is not None:
                found += [match.span() for match in pattern.finditer(text, at) if match.end() > match.start()]
        return found

    def held(self, text: str) -> int:
        """Where that begins which may go on as one of them, in text that goes on."""
        size = len(text)
        low = text.lower()
        if len(low) != size:
            return max(0, size - max(self._waits, 2 * self._longest))
        for start in range(max(0, size - self._longest), size):
            place = bisect_left(self._sorted, low[start:])
            if place < len(self._sorted) and self._sorted[place].startswith(low[start:]):
                return max(0, min(start, size - self._waits))
        return max(0, size - self._waits)


class Customs:
    """Several of them: of two that overlap, that which begins first, and then the longer one."""

    def __init__(self, members: tuple[Custom, ...]) -> None:
        self.names = tuple(dict.fromkeys([each.name for each in members]))
        self.told = [each.told.decode() for each in members]
        self._members = [(each, self.names.index(each.name)) for each in members]

    def find(self, text: str, at: int = 0) -> list[Found]:
        """``(start, end, number of its name)``, in characters, in order, of what is one as it is written or as it
        reads. What is before `at` is no part of one, and says whether there is a boundary.
        """
        every = {(start, -end, index) for each, index in self._members for start, end in each.spans(text, at)}
        read = AsRead(text)
        if read.differs:
            from_ = len(AsRead(text[:at]).text)
            spans = [(span, index) for each, index in self._members for span in each.spans(read.text, from_)]
            every |= {(read.begin(start), -read.end(end), index) for (start, end), index in spans}
        found: list[Found] = []
        for start, end, index in sorted(every):
            if start >= at:
                found.append((start, -end, index))
                at = -end
        return found

    def held(self, text: str) -> int:
        """Where that begins which may go on as one of them, as it is written or as it reads, in text that goes on."""
        read = AsRead(text[: open_at(text)])
        held = min(each.held(text) for each, _ in self._members)
        if not read.differs and len(read.text) == len(text):
            return held
        return min(held, read.begin(min(each.held(read.text) for each, _ in self._members)))

    def put_out(self, text: str, stand_in: Callable[[int, str], str | None]) -> str:
        """A text with what `stand_in` says for each, None for what stays."""
        parts: list[str] = []
        at = 0
        for start, end, index in self.find(text):
            new = stand_in(index, text[start:end])
            if new is not None:
                parts += (text[at:start], new)
                at = end
        return "".join([*parts, text[at:]]) if parts else text


class Pieces:
    """A text that comes in pieces, as ``(text, number of a name)``, -1 for what is none."""

    def __init__(self, customs: Customs) -> None:
        self._customs = customs
        self._held = ""
        self._before = ""

    def feed(self, piece: str, last: bool) -> list[tuple[str, int]]:
        """What is certain by then: all, with the `last` piece."""
        # The character before counts, where names and patterns ask for a boundary.
        skipped = len(self._before)
        text = self._before + self._held + piece
        size = len(text)
        certain = size if last else max(skipped, size - MOST_HELD, self._customs.held(text))
        made: list[tuple[str, int]] = []
        at = skipped
        for start, end, index in self._customs.find(text, skipped):
            if start >= certain:
                break
            if end == size and not last and size - start < MOST_HELD:
                certain = start  # it may go on
                break
            if start > at:
                made.append((text[at:start], -1))
            made.append((text[start:end], index))
            at = end
        certain = max(at, certain)
        if certain > at:
            made.append((text[at:certain], -1))
        self._before, self._held = text[max(0, certain - 1) : certain], text[certain:]
        return made


def customs_of(members: list[config.PiiCustom], made: dict[bytes, Custom]) -> Customs | None:
    """Those of a policy, each made once and kept in `made`. Raises PatternError."""
    found: list[Custom] = []
    for each in members:
        told = msgspec.json.encode(each)
        if told not in made:
            made[told] = Custom(each)
        if made[told] not in found:
            found.append(made[told])
    return Customs(tuple(found)) if found else None


def pattern_of(names: list[str]) -> str:
    """A pattern of all these names, by which no character is looked at more often than a name is long. Where a name
    begins or ends with a letter or digit of ASCII, no other adjoins it.
    """
    root: Trie = {}
    for name in names:
        node = root
        for character in name:
            node = node.setdefault(character, {})
        node[""] = {}
    begins = [
        (r"(?<![A-Za-z0-9])" if is_plain(each) else "") + re.escape(each) + _following(node, each)
        for each, node in root.items()
    ]
    return "|".join(begins)


def _following(node: Trie, last: str) -> str:
    ways = [re.escape(each) + _following(after, each) for each, after in node.items() if each]
    if "" in node:
        ways.append(r"(?![A-Za-z0-9])" if is_plain(last) else "")
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


def is_plain(character: str) -> bool:
    return character.isascii() and character.isalnum()
