"""Values that are written so that a program takes them for something else, and a reader does not: digits and letters of
full width or of another script, characters between them that nobody sees, spaces and dashes of any width, an ``@`` as
a URL or a web page has it.

Such a text is looked through as it reads (`Plain`), and what is found is told of as it is written.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from unicodedata import normalize

from edge._fast import StreamScanner

__all__ = ["AsRead", "Plain", "Seen", "is_disguised", "open_at"]

UNSEEN = (
    "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069"
    "\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f"
)
"""Soft hyphens, joiners, marks of direction, variation selectors, tags."""
LIKE_ASCII = "\uff0b\uff0d\uff0e\uff10-\uff19\uff20-\uff3a\uff3f\uff41-\uff5a\ufe52\ufe6b\u2024\U0001d400-\U0001d7ff"
"""Of full width, small, or mathematical: what NFKC makes ASCII of."""
SPACES, DASHES = "\u1680\u2000-\u200a\u202f\u205f\u3000", "\u2014\u2015\u2212\ufe58\ufe63"
"""Within a number. The no-break space, and dashes from U+2010 to U+2013, are known to the scanner."""
AT = "(?:%40|&#64;|&#[xX]40;|&commat;)"
DISGUISE = re.compile(
    rf"[{UNSEEN}{LIKE_ASCII}\uff61]|(?![0-9])\d|(?<=[\d){UNSEEN}])[{SPACES}{DASHES}]"
    rf"|(?<=[A-Za-z\d{UNSEEN}{LIKE_ASCII}]){AT}"
)
IN_ASCII = re.compile(b"(?<=[A-Za-z0-9])" + AT.encode())
OPEN = re.compile(rb"(?:%4?|&[#a-zA-Z0-9]{0,6})\Z")
"""The beginning of an ``@`` that is written in ASCII."""
_unseen = re.compile(f"[{UNSEEN}]")
_between = re.compile(f"[{SPACES}]")
_dash = re.compile(f"[{DASHES}]")


def is_disguised(text: bytes) -> bool:
    """Whether there is anything of it in UTF-8 text, or what is cut out of some. Linear in its length."""
    if text.isascii():
        return (b"%" in text or b"&" in text) and IN_ASCII.search(text) is not None
    return DISGUISE.search(text.decode("utf-8", "surrogateescape")) is not None


def plain_of(told: str) -> str:
    """What a disguise stands for."""
    if len(told) > 1:
        return "@"
    if _unseen.match(told):
        return ""
    if _between.match(told):
        return " "
    if _dash.match(told):
        return "-"
    if told == "\uff61":
        return "."
    if told.isdecimal():
        return str(int(told))
    known = normalize("NFKC", told)
    return known if len(known) == 1 and known.isascii() else told


class AsRead:
    """A text as it reads, ``text``, and where that is in the text as it is written; in characters."""

    def __init__(self, written: str) -> None:
        parts: list[str] = []
        at = size = 0
        # As in `Plain`.
        self._at, self._begins, self._ends = [0], [0], [0]
        usual = written.isascii() and "%" not in written and "&" not in written
        for match in () if usual else DISGUISE.finditer(written):
            start, end = match.span()
            plain = plain_of(match[0])
            parts += (written[at:start], plain)
            size += start - at + len(plain)
            at = end
            self._at.append(size)
            self._begins.append(end)
            self._ends.append(end if plain else start)
        self.text = "".join([*parts, written[at:]])

    @property
    def differs(self) -> bool:
        return len(self._at) > 1

    def begin(self, at: int) -> int:
        """Where what begins there as it reads begins as it is written."""
        place = bisect_right(self._at, at) - 1
        return self._begins[place] + at - self._at[place]

    def end(self, at: int) -> int:
        """The same of where it ends."""
        place = bisect_left(self._at, at)
        if 0 < place < len(self._at) and self._at[place] == at:
            return self._ends[place]
        return self._begins[max(place - 1, 0)] + at - self._at[max(place - 1, 0)]


def open_at(text: str) -> int:
    """Where that begins at the end of a text, which goes on, that may be the beginning of an ``@``."""
    begun = re.search(r"(?:%4?|&[#a-zA-Z0-9]{0,6})\Z", text[-7:])
    return len(text) if begun is None else len(text) - len(begun[0])


class Plain:
    """Text as it reads: ``text``, and where that is in the bytes as they came. It may be added to."""

    def __init__(self, written: bytes = b"") -> None:
        self.text = b""
        self._size = 0
        self._before = ""
        # Behind each disguise: where that is in the text as it reads, and where what begins there begins, and what ends
        # there ends, in the text as it is written. What nobody sees is no part of what is before it or behind it.
        self._at, self._begins, self._ends = [0], [0], [0]
        if written:
            self.text = self.add(written)

    def add(self, written: bytes) -> bytes:
        """How what is written next reads."""
        told = self._before + written.decode("utf-8", "surrogateescape")
        at = len(self._before)
        size = self._at[-1] + self._size - self._begins[-1]
        parts: list[bytes] = []
        for match in DISGUISE.finditer(told, at):
            start, end = match.span()
            between = told[at:start].encode("utf-8", "surrogateescape")
            plain = plain_of(match[0]).encode()
            self._size += len(between)
            size += len(between) + len(plain)
            parts += (between, plain)
            ends = self._size
            self._size += len(match[0].encode())
            at = end
            if size == self._at[-1]:  # a run of what nobody sees is one place, however long it is
                self._begins[-1] = self._size
                continue
            self._at.append(size)
            self._begins.append(self._size)
            self._ends.append(self._size if plain else ends)
        rest = told[at:].encode("utf-8", "surrogateescape")
        self._size += len(rest)
        self._before = told[-1:]
        return b"".join([*parts, rest])

    def begin(self, at: int) -> int:
        """Where what begins there as it reads begins as it is written."""
        place = bisect_right(self._at, at) - 1
        return self._begins[place] + at - self._at[place]

    def end(self, at: int) -> int:
        """The same of where it ends."""
        place = bisect_left(self._at, at)
        if place < len(self._at) and self._at[place] == at:
            return self._ends[place]
        return self._begins[place - 1] + at - self._at[place - 1]

    def forget(self, at: int) -> None:
        """What was before is not asked for any more."""
        place = bisect_left(self._at, at) - 1
        if place > 0:
            del self._at[:place], self._begins[:place], self._ends[:place]


class Seen:
    """`StreamScanner` of text as it reads. Its pieces are of the text as it is written, and joined are that."""

    def __init__(self, scanner: StreamScanner) -> None:
        self._scanner = scanner
        self._begin()

    def _begin(self) -> None:
        self._plain = Plain()
        self._told = self._written = 0
        self._last = -1
        self._kept = bytearray()  # of which little may go at a time, and which may grow while nothing goes
        self._open = b""

    def feed(self, text: bytes) -> list[tuple[bytes, int]]:
        return self._take(self._open + text, last=False)

    def flush(self) -> list[tuple[bytes, int]]:
        """The rest of the stream, which ends here. The next `feed` begins another one."""
        pieces = self._take(self._open, last=True)
        pieces += self._pieces(self._scanner.flush())
        if self._kept:  # what nobody sees, behind the last that is seen
            pieces.append((bytes(self._kept), -1))
        self._begin()
        return pieces

    def _take(self, text: bytes, *, last: bool) -> list[tuple[bytes, int]]:
        cut = len(text) if last else _whole(text)
        text, self._open = text[:cut], text[cut:]
        self._kept += text
        return self._pieces(self._scanner.feed(self._plain.add(text)))

    def _pieces(self, found: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        pieces: list[tuple[bytes, int]] = []
        for data, kind in found:
            if kind >= 0 and kind != self._last:
                self._tell(self._plain.begin(self._told), -1, pieces)
            self._told += len(data)
            to = self._plain.begin(self._told) if kind < 0 else self._plain.end(self._told)
            self._tell(to, kind, pieces)
            self._last = kind
        self._plain.forget(self._told)
        return pieces

    def _tell(self, to: int, kind: int, pieces: list[tuple[bytes, int]]) -> None:
        size = to - self._written
        if size:
            pieces.append((bytes(self._kept[:size]), kind))
            del self._kept[:size]
            self._written = to


def _whole(text: bytes) -> int:
    """Where that begins at the end of a text which may be the beginning of a disguise, or of a character."""
    begun = OPEN.search(text, max(0, len(text) - 7))
    if begun:
        return begun.start()
    for back in range(1, min(3, len(text)) + 1):
        byte = text[-back]
        if byte >= 0xC0:
            return len(text) - back if back < (4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2) else len(text)
        if byte < 0x80:
            break
    return len(text)
