"""A JSON text that is large, read in short steps: its long strings are left out (`edge.dialects.texts`), the rest is
decoded an element of its lists at a time.
"""

from __future__ import annotations

from typing import Any

from edge._fast import JSONScanner
from edge.dialects.texts import NOTED, PIECE, Texts
from edge.dialects.translation import decode_value
from edge.errors import InvalidRequest
from edge.slices import Steps

__all__ = ["FEW", "MAX_MESSAGE", "MAX_TRANSLATED", "abridged"]

FEW = 2000
"""Values, of which to translate each takes a microsecond or two: a tool or a schema may have so many."""
MAX_MESSAGE = 8192
"""Values of one message, and of an answer, which are translated in one go."""
MAX_TRANSLATED = 65536
"""Values (numbers, strings, lists, objects) of a request that is translated. The longest talks have a few thousand
turns of ten values or so."""
MESSAGES = frozenset(("messages", "input", "content", "choices", "output"))
MAX_REST = 4 << 20
"""Bytes beside the long strings: a million tokens."""


def abridged(body: bytes, max_values: int = MAX_TRANSLATED) -> Steps[tuple[dict[str, Any], Texts]]:
    """What a JSON object has, with stand-ins for its long strings. Raises JSONError, InvalidRequest, and what
    `decode_value` does.
    """
    scanner = JSONScanner(body, max_values=max_values, long_bytes=NOTED)
    while not scanner.step(PIECE):
        yield
    texts = Texts()
    rest = _Rest(body)
    for key_start, key_end, cuts in scanner.strings:
        key = decode_value(b'"%b"' % body[key_start:key_end])
        stand_in = yield from texts.take(body, key, cuts)
        if stand_in is not None:
            rest.left_out.append((cuts[0] - 1, cuts[-1] + 1, stand_in))
    if len(body) - sum(end - start for start, end, _ in rest.left_out) > MAX_REST:
        raise InvalidRequest(f"A request of more than {MAX_REST >> 20} MiB beside its long texts is not translated.")
    value: dict[str, Any] = {}
    starts = [*scanner.elements, (len(body), scanner.values)]
    at = 0
    for name, (start, end) in scanner.spans.items():
        first = at = at + 1  # the value itself comes before what it is a list of
        while starts[at][0] < end:
            at += 1
        if first == at:
            _bound(name, starts[at][1] - starts[first - 1][1])
            value[name] = decode_value(rest.between(start, end))
            continue
        listed = value[name] = []
        for number in range(first, at):
            _bound(name, starts[number + 1][1] - starts[number][1])
            until = starts[number + 1][0] if number + 1 < at else end - 1
            listed.append(decode_value(rest.between(starts[number][0], until).rstrip(b", \t\r\n")))
            yield
    return value, texts


def _bound(name: str, values: int) -> None:
    most = MAX_MESSAGE if name in MESSAGES else FEW
    if values > most:
        what = "A message" if name in MESSAGES else f"A part of '{name}'"
        raise InvalidRequest(f"{what} of more than {most:,} values is not translated in a large request.", param=name)


class _Rest:
    """What is left of a text without its long strings: asked for from its beginning to its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._next = 0
        self.left_out: list[tuple[int, int, bytes]] = []

    def between(self, start: int, end: int) -> bytes:
        parts: list[bytes] = []
        while self._next < len(self.left_out) and self.left_out[self._next][0] < end:
            until, after, stand_in = self.left_out[self._next]
            parts += (self._body[start:until], stand_in)
            start = after
            self._next += 1
        return b"".join([*parts, self._body[start:end]])
