"""Pseudonyms in an answer, put back into what they stand for, for the client alone, as the last thing.

A pseudonym is put back wherever it stands in a string of the answer's JSON, once it is whole: the end of a stream's
text that may be the beginning of one waits (`edge.guard.events`). Within JSON in a string, such as a tool's arguments,
what it stands for is escaped once more. Thinking keeps the pseudonyms: it is signed, and comes back with the next
request.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Any

import msgspec

from edge.errors import UNREADABLE
from edge.guard.events import Events, Filter, is_json
from edge.guard.policy import PSEUDONYM

__all__ = ["Restorer"]

SIGNED = frozenset({"thinking", "signature", "encrypted_content"})
NESTED = frozenset({"arguments", "partial_json"})
"""Keys of strings that are JSON."""
IN_BYTES = re.compile(PSEUDONYM.pattern.encode())

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Restorer(Events):
    """Of one answer. ``feed`` what is written, as whole events where it is a ``stream``; ``end`` has the rest."""

    def __init__(self, originals: dict[str, str], *, stream: bool = False) -> None:
        """`originals` are what the pseudonyms stand for."""
        super().__init__()
        self.stream = stream
        self.plainly = all(_encode(each)[1:-1] == each.encode() for each in originals.values())
        self._originals = originals
        self._sorted = sorted(originals)
        self._longest = max(map(len, originals))
        self._parts: list[bytes] = []

    def whole_answer(self, body: bytes, *, stream: bool) -> bytes:
        """An answer that is there at once."""
        self.stream = stream
        return self.feed(body) + self.end()

    def feed(self, data: bytes) -> bytes:
        if self.stream:
            return super().feed(data)
        self._parts.append(data)
        return b""

    def end(self) -> bytes:
        if self.stream:
            return super().end()
        data = b"".join(self._parts)
        self._parts.clear()
        return self.whole(data)

    # Of events.

    def passes(self, event: bytes) -> bool:
        return self.plainly and b"[" not in event

    def filter(self, *, nested: bool) -> Filter:
        return _Restoring(self, nested)

    # Whole strings.

    def whole(self, data: bytes) -> bytes:
        """JSON, byte for byte but for the pseudonyms, if what they stand for is written in the same way everywhere."""
        if not self._is_in(data):
            return data
        if self.plainly and not any(b'"%b"' % key.encode() in data for key in SIGNED):
            return IN_BYTES.sub(self._written, data)
        try:
            return _encode(self._value(_decode(data)))
        except (*UNREADABLE, OverflowError):
            return IN_BYTES.sub(self._written, data)

    def _is_in(self, data: bytes) -> bool:
        """Whether one of the pseudonyms is."""
        return any(match[0].decode() in self._originals for match in IN_BYTES.finditer(data))

    def _written(self, match: re.Match[bytes]) -> bytes:
        original = self._originals.get(match[0].decode())
        return match[0] if original is None else _encode(original)[1:-1]

    def _plain(self, match: re.Match[str]) -> str:
        return self._originals.get(match[0], match[0])

    def _escaped(self, match: re.Match[str]) -> str:
        original = self._originals.get(match[0])
        return match[0] if original is None else _encode(original)[1:-1].decode()

    def _value(self, value: Any, key: str = "") -> Any:
        """A value with what is meant in all its strings."""
        if isinstance(value, str):
            if key in SIGNED or "[" not in value:
                return value
            return self.restored(value, nested=key in NESTED or is_json(value))
        if isinstance(value, list):
            return [self._value(each, key) for each in value]
        if isinstance(value, dict):
            return {self._value(name): self._value(each, name) for name, each in value.items()}
        return value

    def restored(self, text: str, *, nested: bool) -> str:
        return PSEUDONYM.sub(self._escaped if nested else self._plain, text)

    def cut(self, text: str) -> tuple[str, str]:
        """A text up to what may be the beginning of a pseudonym, and that."""
        at = text.rfind("[", max(0, len(text) - self._longest + 1))
        if at < 0:
            return text, ""
        begun = text[at:]
        place = bisect_left(self._sorted, begun)
        if place == len(self._sorted) or not self._sorted[place].startswith(begun) or self._sorted[place] == begun:
            return text, ""
        return text[:at], begun


class _Restoring(Filter):
    """``held`` is the end of what came."""

    def __init__(self, restorer: Restorer, nested: bool) -> None:
        self._restorer = restorer
        self._nested = nested
        self._held = ""

    def take(self, piece: str, last: bool) -> str:
        whole = self._held + piece
        done, self._held = (whole, "") if last else self._restorer.cut(whole)
        self.idle = self._restorer.plainly and not self._held
        return self._restorer.restored(done, nested=self._nested)
