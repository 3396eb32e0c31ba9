"""Where in a request's body text stands that somebody wrote, in any dialect, as byte spans.

Every string is such a text unless it is known not to be one: a field that nobody has heard of is not overlooked.
Left alone are what names things to the API (its types, models, ids), what is signed (thinking with its signature,
encrypted content), base64, and the credentials of the tools that a provider calls. What a caller puts into a tool's
arguments, metadata and variables is data: there every string is text, the keys of objects and the numbers too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

__all__ = ["JSON", "KEY", "NUMBER", "PIECE", "TEXT", "Leaf", "leaves"]

PIECE = 65536
"""Bytes of a string that are looked at in one go."""

TOKENS = 512
"""Of them too."""
TEXT, NUMBER, KEY, JSON = range(4)
"""What a leaf is: a string; a number; the key of a member; a string that most likely has JSON in it."""

TOKEN = re.compile(rb'"(?:([^"\\]{0,1000}+)"([ \t\n\r]*+:)?)?|[{}\[\]]|-?[0-9][0-9.eE+-]*|true|false|null')
"""A short string without escapes is one, with the colon behind it; of another, its first quotation mark."""
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
SCHEMAS = frozenset({b"input_schema", b"parameters", b"schema"})
CREDENTIALS = frozenset({b"headers"})
IN_API, IN_DATA, IN_SCHEMA, IN_CREDENTIALS = range(4)
"""Whose the members of an object are."""

_read = msgspec.json.Decoder(str).decode


class Leaf(NamedTuple):
    """``cuts`` are where it begins and ends, a string's between its quotes, and places between at which it may be cut
    into pieces of at most `PIECE` bytes. ``siblings`` tells apart the objects that keys are in.
    """

    what: int
    cuts: list[int]
    siblings: int


class _Frame:
    """A container that is open. ``key`` is that of the member at hand, b"" for none; in an array, that of the array."""

    __slots__ = ("key", "keyed", "kind", "late", "number", "zone")

    def __init__(self, keyed: bool, key: bytes, zone: int, number: int) -> None:
        self.keyed = keyed
        self.key = key
        self.zone = zone
        self.number = number
        self.kind = b""
        # Strings of which the object's type says what they are.
        self.late: list[tuple[bytes, list[int]]] = []


def leaves(body: bytes, *, data: bool = False) -> Iterator[Leaf | None]:
    """The texts of JSON that has been found sound; None now and then, in long ones. With `data`, all of it is a
    caller's own.
    """
    at, size, number, left = 0, len(body), 0, TOKENS
    frames: list[_Frame] = []
    frame = _Frame(False, b"", IN_DATA if data else IN_API, 0)
    while True:
        token = TOKEN.search(body, at, size)
        if token is None:
            return
        left -= 1
        if not left:
            left = TOKENS
            yield None
        first = body[token.start()]
        at = token.end()
        if first == 0x22:
            short, is_key = token[1], token[2] is not None
            if short is not None:
                start = token.start() + 1
                cuts = [start, start + len(short)]
            else:
                cuts = [at]
                while True:
                    at = _piece_end(body, at, size)
                    cuts.append(at)
                    if body[at] == 0x22:
                        break
                    yield None
                at += 1
                if colon := COLON.match(body, at):
                    at, is_key = colon.end(), True
            if is_key:
                frame.key = _name(body[cuts[0] : cuts[-1]])
                if frame.zone == IN_DATA:
                    yield Leaf(KEY, cuts, frame.number)
                continue
            if (what := _what(body, frame, cuts)) is not None:
                yield Leaf(what, cuts, frame.number)
        elif first in b"{[":
            number += 1
            keyed = first == 0x7B
            zone = _zone(frame) if keyed else frame.zone
            frames.append(frame)
            frame = _Frame(keyed, b"" if keyed else frame.key, zone, number)
            continue
        elif first in b"}]":
            for key, cuts in frame.late:
                if not _is_sealed(body, key, frame.kind, cuts):
                    yield Leaf(TEXT, cuts, frame.number)
            frame = frames.pop()
        elif frame.zone == IN_DATA and first not in b"tfn":
            yield Leaf(NUMBER, [token.start(), at], frame.number)
        if frame.keyed:
            frame.key = b""


def _name(key: bytes) -> bytes:
    """That of a member; of one that is named "", a space: it has a name."""
    return (_read(b'"%b"' % key).encode() if b"\\" in key else key) or b" "


def _zone(outer: _Frame) -> int:
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


def _what(body: bytes, frame: _Frame, cuts: list[int]) -> int | None:
    """What a string is that is a value; None for what is left alone, or is judged at its object's end."""
    key = frame.key
    start, end = cuts[0], cuts[-1]
    if start == end or frame.zone == IN_CREDENTIALS:
        return None
    if frame.zone == IN_API:
        if key == b"type":
            frame.kind = body[start:end]
            return None
        if key in NAMES or (key.endswith((b"_id", b"_ids")) and key not in OF_PEOPLE):
            return None
        if key in SEALED or key in FILES or key == b"thinking":
            frame.late.append((key, cuts))
            return None
        if key == b"arguments":
            return JSON
    head = DATA_URL.match(body, start, end)
    begin = head.end() if head else start
    if (head or end - start >= LONG) and _is_base64(body, begin, cuts):
        return None
    return TEXT


def _is_sealed(body: bytes, key: bytes, kind: bytes, cuts: list[int]) -> bool:
    """Whether a string that may be signed, or a file, in an object of that type, is."""
    if key == b"thinking":
        return kind == b"thinking"
    if kind == b"text":
        return False
    head = DATA_URL.match(body, cuts[0], cuts[-1])
    if not head and key in FILES and kind not in (b"base64", b"redacted_thinking") and cuts[-1] - cuts[0] < LONG:
        return False
    return _is_base64(body, head.end() if head else cuts[0], cuts)


def _is_base64(body: bytes, begin: int, cuts: list[int]) -> bool:
    alphabets = list(BASE64)
    for end in cuts[1:]:
        part = body[begin:end].replace(b"\\/", b"/") if end > begin else b""
        if end == cuts[-1]:
            part = PADDING.sub(b"", part)
        lines = part.replace(b"\\r", b"").split(b"\\n")
        if any(len(line) < WRAPPED for line in lines[begin > cuts[0] : -1]):
            return False
        alphabets = [each for each in alphabets if not any(line.translate(None, each) for line in lines)]
        if not alphabets:
            return False
        begin = max(begin, end)
    return True
