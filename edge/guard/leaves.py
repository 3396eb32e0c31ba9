"""Where in a request's body text stands that somebody wrote, in any dialect, as byte spans.

Every string is such a text unless it is known not to be one: a field that nobody has heard of is not overlooked.
Left alone are what names things to the API (its types, models, ids), what is signed (thinking with its signature,
encrypted content), base64, and the credentials of the tools that a provider calls. What a caller puts into a tool's
arguments, metadata and variables is data: there every string is text, the keys of objects and the numbers too.
"""

from __future__ import annotations

import re
from collections import deque

import msgspec

from edge._fast import COMPILED

__all__ = ["END", "JSON", "KEY", "NUMBER", "PAUSE", "PIECE", "TEXT", "Leaf", "Leaves"]

PIECE = 16384 if COMPILED else 1024
"""Bytes that are looked at in one go: a millisecond or two, for digits at their worst."""

TOKENS = 512
"""Of them too."""
TEXT, NUMBER, KEY, JSON, PAUSE, END, NOTHING, UNSURE, SEALED_LEAF = range(9)
"""What a leaf is: a string; a number; the key of a member; a string that most likely has JSON in it; none yet; none any
more. To be left alone is what is nothing, what is unsure before its object's end, or turns out to be sealed there.
"""

TOKEN = re.compile(rb'["{}\[\]]|-?[0-9][0-9.eE+-]*|true|false|null')
"""Of a string, its first quotation mark."""
SHORT = 1000
"""Bytes of a string that is looked for in one go."""
STRING = re.compile(
    rb'[^"\\]*+(?:\\(?:[^u]|u(?![dD][89abAB])[0-9a-fA-F]{4}|u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4})[^"\\]*+)*+'
)
"""What of a string can be read without cutting an escape, or a pair of them, that ends beyond the end."""
COLON = re.compile(rb"[ \t\n\r]*:")
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
BASE64 = (LETTERS + b"+/", LETTERS + b"-_")
"""The two alphabets (RFC 4648, sections 4 and 5). What has signs of both is neither."""
PADDING = re.compile(rb"=*(?:\\r|\\n)*\Z")
WRAPPED = 60
"""Letters of a line of base64, at least (64 in PEM, 76 in MIME): what has shorter lines is a list of something."""
DATA_URL = re.compile(rb"data:[^,\"\\]{0,256};base64,")
LONG = 256
"""Bytes of base64 that cannot be a text: it has no space in it."""

NAMES = frozenset(
    {b"id", b"type", b"role", b"model", b"status", b"container", b"authorization", b"authorization_token"}
)
SEALED = frozenset({b"signature", b"thought_signature", b"encrypted_content", b"encrypted_index", b"encrypted_stdout"})
FILES = frozenset({b"data", b"file_data", b"b64_json", b"result"})
OF_PEOPLE = frozenset({b"user_id"})
"""Ids that do not name things to the API."""
DATA = frozenset({b"input", b"arguments", b"metadata", b"variables"})
"""Keys of objects that are the caller's own."""
OF_TEXTS = frozenset({b"text", b"message", b"messages", b"call", b"calls", b"answer", b"ring", b"reach"})
"""Keys of the caller's that say nothing of a number in their text, though they would before it."""
SCHEMAS = frozenset({b"input_schema", b"parameters", b"schema"})
CREDENTIALS = frozenset({b"headers"})
IN_API, IN_DATA, IN_SCHEMA, IN_CREDENTIALS = range(4)
"""Whose the members of an object are."""

_read = msgspec.json.Decoder(str).decode


class Leaf:
    """``cuts`` are where it begins and ends, a string's between its quotes, and places between at which it may be cut
    into pieces of at most `PIECE` bytes. ``key_start`` and ``key_end`` say where its key stands, or that of the array
    it is in, if that says what the value is; 0 for none. ``siblings`` tells apart the objects that keys are in.
    ``letters`` are those of a string that came in pieces.
    """

    __slots__ = ("cuts", "key_end", "key_start", "letters", "siblings", "what")

    def __init__(self, what: int, cuts: list[int], key_start: int, key_end: int, siblings: int) -> None:
        self.what = what
        self.cuts = cuts
        self.key_start = key_start
        self.key_end = key_end
        self.siblings = siblings
        self.letters: Letters | None = None


PAUSED = Leaf(PAUSE, [], 0, 0, 0)
ENDED = Leaf(END, [], 0, 0, 0)


class Frame:
    """A container that is open. ``key`` is that of the member at hand, b"" for none, and stands where ``key_start`` and
    ``key_end`` say; in an array, it is that of the array. ``kind`` is the object's type, ``late`` are strings of which
    that says what they are.
    """

    __slots__ = ("key", "key_end", "key_start", "keyed", "kind", "late", "number", "zone")

    def __init__(self, keyed: bool, zone: int, number: int) -> None:
        self.keyed = keyed
        self.key = b""
        self.key_start = self.key_end = 0
        self.zone = zone
        self.number = number
        self.kind = b""
        self.late: list[tuple[bytes, Leaf]] | None = None


class Leaves:
    """The texts of JSON that has been found sound, in their order. With `data`, all of it is a caller's own. Of bytes
    that are no JSON `next` ends in a ValueError or IndexError.
    """

    def __init__(self, body: bytes, *, data: bool = False) -> None:
        self._body = body
        self._size = len(body)
        self._at = 0
        self._number = 0
        self._left = TOKENS
        self._frames: list[Frame] = []
        self._frame = Frame(False, IN_DATA if data else IN_API, 0)
        # Of a string that goes on, what has been read; of leaves that wait for others before them, which are unsure.
        self._cuts: list[int] | None = None
        self._letters: Letters | None = None
        self._waiting: deque[Leaf] = deque()
        self._unsure = 0

    def next(self) -> Leaf:
        """The next one, or `PAUSED` after some work without one; `ENDED` after the last."""
        while True:
            if self._waiting and not self._unsure:
                leaf = self._waiting.popleft()
                if leaf.what != SEALED_LEAF:
                    return leaf
                self._left -= 1
                if self._left <= 0:
                    self._left = TOKENS
                    return PAUSED
                continue
            leaf = self._read()
            if leaf.what == PAUSE or not (self._waiting or self._unsure):
                return leaf
            self._waiting.append(leaf)

    def _read(self) -> Leaf:
        body, size = self._body, self._size
        while True:
            if self._cuts is not None:
                leaf = self._go_on()
                if leaf is not None:
                    return leaf
                continue
            token = TOKEN.search(body, self._at, size)
            if token is None:
                return ENDED
            self._left -= 1
            if self._left <= 0:
                self._left = TOKENS
                return PAUSED  # this token is read again
            start = token.start()
            first = body[start]
            frame = self._frame
            if first == 0x22:
                leaf = self._short(start + 1)
                if leaf is not None:
                    return leaf
                continue
            self._at = token.end()
            if first == 0x7B or first == 0x5B:
                self._number += 1
                keyed = first == 0x7B
                inner = Frame(keyed, _zone(frame) if keyed else frame.zone, self._number)
                if not keyed:
                    inner.key, inner.key_start, inner.key_end = frame.key, frame.key_start, frame.key_end
                self._frames.append(frame)
                self._frame = inner
            elif first == 0x7D or first == 0x5D:
                self._frame = self._frames.pop()
                if frame.late is not None:
                    self._judge(frame, frame.late)
                    if self._waiting and not self._unsure:
                        self._value_ended()
                        return PAUSED
                self._value_ended()
            else:
                leaf = None
                if frame.zone == IN_DATA and first != 0x74 and first != 0x66 and first != 0x6E:
                    leaf = Leaf(NUMBER, [start, self._at], frame.key_start, frame.key_end, frame.number)
                self._value_ended()
                if leaf is not None:
                    return leaf

    def _value_ended(self) -> None:
        frame = self._frame
        if frame.keyed:
            frame.key = b""
            frame.key_start = frame.key_end = 0

    def _short(self, start: int) -> Leaf | None:
        """A string that begins at `start`, if it is to be looked at; one that is long, or has escapes, goes on."""
        body = self._body
        end = body.find(b'"', start, start + SHORT)
        if end < 0 or body.find(b"\\", start, end) >= 0:
            self._cuts = [start]
            return None
        self._at = end + 1
        after = body[end + 1] if end + 1 < self._size else 0
        is_key = after == 0x3A
        if not is_key and after <= 0x20:
            colon = COLON.match(body, end + 1)
            if colon is not None:
                self._at = colon.end()
                is_key = True
        return self._string([start, end], is_key)

    def _go_on(self) -> Leaf | None:
        """With a string that is long, or has escapes."""
        body, cuts = self._body, self._cuts
        assert cuts is not None  # noqa: S101 - one was begun
        begin = cuts[-1]
        at = _piece_end(body, begin, self._size)
        if at == begin and body[at] != 0x22:
            raise ValueError("JSON that is no JSON was not to come here")  # or this would go on for ever
        if self._letters is None and body[at] != 0x22:
            self._letters = Letters(body, begin, at)
        if self._letters is not None:
            self._letters.take(begin, at, body[at] == 0x22)
        cuts.append(at)
        if body[at] != 0x22:
            return PAUSED
        self._cuts = None
        self._at = at + 1
        colon = COLON.match(body, at + 1)
        if colon is not None:
            self._at = colon.end()
        return self._string(cuts, colon is not None)

    def _string(self, cuts: list[int], is_key: bool) -> Leaf | None:
        """A string, if it is to be looked at."""
        body, frame = self._body, self._frame
        start, end = cuts[0], cuts[-1]
        if is_key:
            frame.key = _name(body[start:end])
            if frame.zone == IN_DATA and frame.key not in OF_TEXTS:
                frame.key_start, frame.key_end = start, end
            else:
                frame.key_start = frame.key_end = 0
            self._letters = None
            return Leaf(KEY, cuts, 0, 0, frame.number) if frame.zone == IN_DATA and start != end else None
        leaf = Leaf(TEXT, cuts, frame.key_start, frame.key_end, frame.number)
        leaf.letters, self._letters = self._letters, None
        leaf.what = _what(body, frame, leaf)
        if leaf.what == UNSURE:
            if frame.late is None:
                frame.late = []
            frame.late.append((frame.key, leaf))
            self._unsure += 1
        self._value_ended()
        return None if leaf.what == NOTHING else leaf

    def _judge(self, frame: Frame, late: list[tuple[bytes, Leaf]]) -> None:
        """At an object's end it is known what it is."""
        for key, leaf in late:
            leaf.what = SEALED_LEAF if _is_sealed(self._body, key, frame.kind, leaf) else TEXT
        self._unsure -= len(late)


def _name(key: bytes) -> bytes:
    """That of a member; of one that is named "", a space: it has a name."""
    return (_read(b'"%b"' % key).encode() if b"\\" in key else key) or b" "


def _zone(outer: Frame) -> int:
    """That of an object in `outer`."""
    key = outer.key
    if outer.zone != IN_API or not outer.keyed:
        return outer.zone
    return IN_DATA if key in DATA else IN_SCHEMA if key in SCHEMAS else IN_CREDENTIALS if key in CREDENTIALS else IN_API


def _piece_end(body: bytes, at: int, size: int) -> int:
    """Where the string ends that goes on at `at`, or a place after at most `PIECE` bytes where it may be cut."""
    stop = min(at + PIECE, size)
    match = STRING.match(body, at, stop)
    end = match.end() if match else at
    if end == stop < size and body[end] != 0x22:
        while body[end] & 0xC0 == 0x80:  # within a character
            end -= 1
    return end


def _what(body: bytes, frame: Frame, leaf: Leaf) -> int:
    """What a string is that is a value."""
    key, cuts = frame.key, leaf.cuts
    start, end = cuts[0], cuts[-1]
    if start == end or frame.zone == IN_CREDENTIALS:
        return NOTHING
    if frame.zone == IN_API:
        if key == b"type":
            frame.kind = body[start:end]
            return NOTHING
        if key in NAMES or (key.endswith((b"_id", b"_ids")) and key not in OF_PEOPLE):
            return NOTHING
        if key in SEALED or key in FILES or key == b"thinking":
            return UNSURE
        if key == b"arguments":
            return JSON
    return TEXT if _is_short(body, leaf) or not _is_base64(body, leaf) else NOTHING


def _is_short(body: bytes, leaf: Leaf) -> bool:
    """Whether it could be a text for all its letters: it is short, and in no data URL."""
    start, end = leaf.cuts[0], leaf.cuts[-1]
    return end - start < LONG and DATA_URL.match(body, start, end) is None


def _is_sealed(body: bytes, key: bytes, kind: bytes, leaf: Leaf) -> bool:
    """Whether a string that may be signed, or a file, in an object of that type, is."""
    if key == b"thinking":
        return kind in (b"thinking", b"thinking_delta")
    if kind == b"text":
        return False
    if key in FILES and kind not in (b"base64", b"redacted_thinking") and _is_short(body, leaf):
        return False
    return _is_base64(body, leaf)


def _is_base64(body: bytes, leaf: Leaf) -> bool:
    letters = leaf.letters
    if letters is None:
        letters = Letters(body, leaf.cuts[0], leaf.cuts[-1])
        letters.take(leaf.cuts[0], leaf.cuts[-1], True)
    return letters.alphabets != []


class Letters:
    """Whether a string between these places, or what is in its data URL, is base64: what is left of ``alphabets`` after
    each piece of it.
    """

    __slots__ = ("_begin", "_body", "_start", "alphabets")

    def __init__(self, body: bytes, start: int, end: int) -> None:
        head = DATA_URL.match(body, start, end)
        self.alphabets = list(BASE64)
        self._body = body
        self._start = start
        self._begin = head.end() if head else start

    def take(self, start: int, end: int, last: bool) -> None:
        begin = max(start, self._begin)
        if not self.alphabets:
            return
        if self._body.find(b" ", begin, end) >= 0:
            self.alphabets = []
            return
        part = self._body[begin:end].replace(b"\\/", b"/")
        if last:
            part = PADDING.sub(b"", part)
        lines = part.replace(b"\\r", b"").split(b"\\n")
        for line in lines[begin > self._start : -1]:
            if len(line) < WRAPPED:
                self.alphabets = []
                return
        for line in lines:
            self.alphabets = [each for each in self.alphabets if not line.translate(None, each)]
