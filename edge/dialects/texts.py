r"""The long strings of a JSON text that is translated without them: pictures, documents, whole books in one string.

To decode or to encode one takes a C call of up to 100 ms, in which the worker does nothing else. So what is translated
is the text with a stand-in for all but the beginning and the end of each, and in what comes of it the strings are put
back, a piece at a time. Where a translation reads a whole string as JSON, the stand-in is JSON too.

A stand-in is a name that cannot be guessed and so is in no text that a client sends, a number, and a control character:
by its escapes in what is encoded (``\u001a``, ``\\u001a``) is seen how many times the string has to be encoded that it
stands for, when a string with JSON in it has been made of JSON, say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from secrets import token_hex

import msgspec

from edge._fast import JSONError, JSONScanner
from edge.dialects.billing import PREFIX
from edge.dialects.sealed import MAX_SEALED, is_sealed
from edge.errors import InvalidRequest
from edge.slices import Steps

__all__ = ["NOTED", "PIECE", "Texts", "refuse_stand_in", "without_stand_ins"]

LONG = 2048
"""Bytes of a string that is long."""
NOTED = 256
"""Bytes of a string with JSON in it that is long: to decode that takes longer."""
PIECE = 131072
"""Bytes that are decoded, or encoded, at a time: a millisecond, if they are all escapes."""
HEAD, MAX_HEAD, TAIL = 128, 4096, 64
"""Characters that are left of its beginning, and of its end. More of one that begins with a line or a head of its own
which the translation takes off: a data URL has names of files there."""
MIN_FIRST, MIN_LAST = 12 * MAX_HEAD, 12 * TAIL
"""Bytes that hold so many characters, however they are escaped."""
OBJECTS = frozenset(("arguments", "input"))
THOUGHTS = frozenset(("thinking", "signature", "encrypted_content"))
FILES = "file_data"
"""Keys of strings that a translation reads whole: a JSON object, base64 of a file that may be text."""
MAX_FILE = 1 << 20
NO_TEXT = re.compile(r"data:(application/pdf|image/)|JVBERi0", re.IGNORECASE)
"""How a file begins that is no text; the last is base64 of ``%PDF-``."""
STAND_IN = re.compile(r"edge:[0-9a-f]{32}:\d+\x1a")
MISPLACED = "A name, an id or another value that is no text is too long to be translated."

_read = msgspec.json.Decoder(str).decode
_write = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Text:
    """A string of `body`, which is cut at `cuts`. ``characters``, ``size`` (bytes of UTF-8) and ``encoded`` (of JSON)
    are what it has, between its beginning of ``head`` characters and its end, more than its stand-in. With
    ``is_object`` it is a JSON object, and left out as a whole.
    """

    body: bytes
    cuts: list[int]
    head: int = HEAD
    characters: int = 0
    size: int = 0
    encoded: int = 0
    is_object: bool = False

    def whole(self) -> Iterator[str]:
        for start, end in pairwise(self.cuts):
            yield _read(b'"%b"' % self.body[start:end])

    def pieces(self) -> Iterator[str]:
        return self.whole() if self.is_object else self.middle()

    def middle(self) -> Iterator[str]:
        last = len(self.cuts) - 2
        for number, piece in enumerate(self.whole()):
            yield piece[self.head if number == 0 else 0 : -TAIL if number == last else None]


class Texts:
    """The long strings of one JSON text."""

    def __init__(self) -> None:
        self._name = f"edge:{token_hex(16)}:"
        self._texts: list[_Text] = []
        name = self._name.encode()
        self._encoded = re.compile(rb"%b(\d+)(\\+)u001a" % name)
        self._plain = re.compile(rb"%b(\d+)(?:\x1a|\\+u001a)" % name)

    def take(self, body: bytes, key: str, cuts: list[int]) -> Steps[bytes | None]:
        """The JSON that stands for a string in `body`, the value of `key`, which may be cut at `cuts`; None for one
        that is too short to be cut. Raises what decoding it does.
        """
        if cuts[-1] - cuts[0] < LONG and key not in OBJECTS:
            return None
        while len(cuts) > 2 and cuts[1] - cuts[0] < MIN_FIRST:
            del cuts[1]
        while len(cuts) > 2 and cuts[-1] - cuts[-2] < MIN_LAST:
            del cuts[-2]
        text = _Text(body, cuts)
        first = last = next(text.whole())
        if key == FILES and cuts[-1] - cuts[0] <= MAX_FILE and not NO_TEXT.match(first):
            return None
        if (key in THOUGHTS or is_sealed(first)) and cuts[-1] - cuts[0] <= MAX_SEALED:
            return None  # it is sealed, or opened, whole
        stand_in = f"{self._name}{len(self._texts)}\x1a"
        yield
        if key in OBJECTS and (yield from _is_object(text)):
            text.is_object = True
            taken = _write({stand_in: None}).decode()
        else:
            ends = "," if first[:5].lower() == "data:" else "\n" if first.startswith(PREFIX) else ""
            text.head = max(HEAD, first.find(ends, 0, MAX_HEAD) + 1)
            if len(cuts) == 2 and len(first) <= text.head + 2 * TAIL:
                return None
            if len(cuts) > 2:
                last = _read(b'"%b"' % body[cuts[-2] : cuts[-1]])
            text.characters = text.size = -len(stand_in)
            text.encoded = 2 - len(_write(stand_in))
            for piece in text.middle():
                text.characters += len(piece)
                text.size += len(piece.encode())
                text.encoded += len(_write(piece)) - 2
                yield
            taken = first[: text.head] + stand_in + last[-TAIL:]
        self._texts.append(text)
        return _write(taken)

    # What is told of a text, or of JSON, that stand-ins may be in.

    def size(self, text: str | bytes) -> int:
        """Its bytes in UTF-8."""
        if isinstance(text, bytes):
            return len(text) + sum(self._texts[int(match[1])].encoded for match in self._plain.finditer(text))
        data = text.encode("utf-8", "surrogatepass")
        return len(data) + sum(self._texts[int(match[1])].size for match in self._plain.finditer(data))

    def characters(self, text: str) -> int:
        found = self._plain.finditer(text.encode("utf-8", "surrogatepass")) if self._name in text else ()
        return len(text) + sum(self._texts[int(match[1])].characters for match in found)

    def put_back(self, out: BytesIO, data: bytes) -> Steps[None]:
        """Write JSON with the strings in their places. Raises InvalidRequest where a stand-in is none any more, since
        its string was used in another way than as a text.
        """
        at = used = 0
        for match in self._encoded.finditer(data):
            start, end = match.span()
            used += 1
            text, encodings = self._texts[int(match[1])], len(match[2]).bit_length()
            if text.is_object:  # {"stand-in":null}
                escapes = len(match[2]) - 1
                start, end = start - escapes - 2, end + escapes + 7
                encodings -= 1
            out.write(data[at:start])
            for piece in text.pieces():
                written = piece
                for _ in range(encodings):
                    written = _write(written)[1:-1].decode()
                out.write(written.encode())
                yield
            at = end
        if used < data.count(self._name.encode()):
            raise InvalidRequest(MISPLACED)
        out.write(data[at:] if at else data)
        yield


def _is_object(text: _Text) -> Steps[bool]:
    whole = BytesIO()  # it gives its bytes away without a copy
    for piece in text.whole():
        whole.write(piece.encode())
        yield
    scanner = JSONScanner(whole.getvalue())
    try:
        while not scanner.step(PIECE):
            yield
    except JSONError:
        return False
    return True


def without_stand_ins(text: str) -> str:
    """What is told of a text."""
    return STAND_IN.sub("...", text)


def refuse_stand_in(text: str) -> None:
    """Raises InvalidRequest where a name or an id, of which a digest is to be made, is a long string."""
    if "\x1a" in text and STAND_IN.search(text):
        raise InvalidRequest(MISPLACED)
