"""The fields of a head (RFC 9112, section 5), found where they are in the bytes; see ``_head.py``."""

from __future__ import annotations

import re
from typing import Any

from edge._fast.head_tables import NAMES, NUMBERS, SECRETS

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
    from cython.cimports.edge._fast._head_fields_c import (
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        HOST,
        KNOWN_NAMES,
        MOST_FIELDS,
        PROXY_CONNECTION,
        TE,
        TRANSFER_ENCODING,
    )
    from cython.cimports.edge._fast._head_words import (
        head_ends,
        is_word,
        name_add,
        name_find,
        name_stop,
        token_end,
        value_stop,
    )
    from cython.cimports.libc.string import memcmp, memset
else:
    CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, HOST, EXPECT, TE, PROXY_CONNECTION = 1, 2, 3, 4, 5, 6, 9
    MOST_FIELDS, KNOWN_NAMES = 256, 128

__all__ = ["Head"]

_ODD = cython.declare(cython.Py_ssize_t, -1)
_MORE = cython.declare(cython.Py_ssize_t, 0)
_MAX_DIGITS = cython.declare(cython.Py_ssize_t, 18)
_KEPT = cython.declare(cython.Py_ssize_t, 64)
# Bytes of a value of which the object is kept for the next head that has it.

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELD = re.compile(rb"(%b):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n" % _TOKEN)
_PART_OF_FIELD = re.compile(rb"(?:%b(?::[\t\x20-\x7e\x80-\xff]*\r?)?|\r)?" % _TOKEN)

_NAMES = cython.declare(list, list(NAMES))
_secret = cython.declare(list, [name in SECRETS for name in NAMES])
if cython.compiled:
    _number = cython.declare(cython.Py_ssize_t)
    _name = cython.declare(bytes)
    for _number in range(1, len(NAMES)):
        _name = _NAMES[_number]
        name_add(cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(_name)), len(_name), _number)


@cython.cclass
class Head:
    """Where the parts of a head are in the bytes that it was read from.

    It begins at ``start``, and ``end`` is where what follows begins. ``content_length`` is -1 where there is none;
    ``keeps_alive``: the connection goes on after this message. There are ``count`` fields.
    """

    def __init__(self, max_fields: int = 100, max_bytes: int = 32768) -> None:
        """Heads of more fields or bytes are not taken. Raises ValueError beyond 256 fields."""
        if not 0 <= max_fields <= MOST_FIELDS:
            raise ValueError(f"at most {MOST_FIELDS} fields")
        self._max_fields = max_fields
        self._max_bytes = max_bytes
        self._data = b""
        self._pairs = list[Any]([None] * KNOWN_NAMES)
        self._of_request = False
        self.start = self.end = self.count = 0
        self.content_length = -1
        self.chunked = False
        self.keeps_alive = True
        if not cython.compiled:
            self.name_at, self.name_end = [0] * MOST_FIELDS, [0] * MOST_FIELDS
            self.value_at, self.value_end = [0] * MOST_FIELDS, [0] * MOST_FIELDS
            self.known, self.place = [0] * MOST_FIELDS, [0] * KNOWN_NAMES

    @cython.cfunc
    @cython.exceptval(check=False)
    def _begin(self, data: bytes, start: cython.Py_ssize_t, seen: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """`MORE` or `ODD` where there is nothing to be read yet, else 1."""
        size: cython.Py_ssize_t = len(data)
        found: cython.bint
        if seen > start:
            # Looking through it once more each time that a byte has come would take time by the square.
            if cython.compiled:
                found = head_ends(
                    cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(data)), max(start, seen - 3), size
                )
            else:
                found = data.find(b"\r\n\r\n", max(start, seen - 3)) >= 0
            if not found:
                return _MORE if size - start <= self._max_bytes else _ODD
        if size > 0x7FFFFFFF or start >= size:
            return _MORE if start >= size else _ODD
        self._data = data
        self.start = start
        self.content_length = -1
        self.chunked = False
        self.keeps_alive = True
        self.count = 0
        if cython.compiled:
            self._text = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(data))
            memset(self.place, 0, cython.sizeof(self.place))
        else:
            self._text = data
            self.place = [0] * KNOWN_NAMES
        return 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def _fields(self, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the fields that begin at `i`; where the head ends, `MORE` or `ODD`."""
        text: cython.p_const_uchar = self._text
        most: cython.Py_ssize_t = self._max_fields
        j: cython.Py_ssize_t
        at: cython.Py_ssize_t
        end: cython.Py_ssize_t
        known: cython.int
        count: cython.Py_ssize_t = 0
        while True:
            if cython.compiled:
                if i >= size:
                    return _MORE
                if text[i] == 0x0D:
                    if i + 1 >= size:
                        return _MORE
                    if text[i + 1] != 0x0A:
                        return _ODD
                    break
                j = name_stop(text, i, size)
                known = name_find(text + i, j - i, size - i) if j > i else 0
                if known == 0:
                    j = token_end(text, i, size)
                if j >= size:
                    return _MORE
                if j == i or text[j] != 0x3A:
                    return _ODD
                at = j + 1
                while at < size and (text[at] == 0x20 or text[at] == 0x09):
                    at += 1
                end = value_stop(text, at, size)
                if end >= size:
                    return _MORE
                if text[end] != 0x0D:
                    return _ODD
                if end + 1 >= size:
                    return _MORE
                if text[end + 1] != 0x0A:
                    return _ODD
            else:
                line = _FIELD.match(self._data, i)
                if line is None:
                    if self._data.startswith(b"\r\n", i):
                        break
                    return _MORE if _PART_OF_FIELD.fullmatch(self._data, i) else _ODD
                j, (at, end) = line.end(1), line.span(2)
                known = NUMBERS.get(line[1].lower(), 0)
            if count >= most or (known and known <= PROXY_CONNECTION and not self._takes(known, at, end)):
                return _ODD
            self.name_at[count] = i
            self.name_end[count] = j
            self.value_at[count] = at
            self.value_end[count] = end
            self.known[count] = known
            count += 1
            if known and self.place[known] == 0:
                self.place[known] = count
            i = end + 2
        i += 2
        self.count = count
        self.end = i
        return i if i - self.start <= self._max_bytes else _ODD

    @cython.cfunc
    @cython.exceptval(check=False)
    def _takes(self, known: cython.int, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether a field that the framing may depend on is of the common form; what it says is noted."""
        text: cython.p_const_uchar = self._text
        i: cython.Py_ssize_t
        length: cython.longlong = 0
        if known in (HOST, EXPECT, TE) and not self._of_request:
            return True
        if known > HOST or self.place[known]:
            return False
        if known == CONTENT_LENGTH:
            if self.chunked or not 0 < end - at <= _MAX_DIGITS:
                return False
            for i in range(at, end):
                if not 0x30 <= text[i] <= 0x39:
                    return False
                length = length * 10 + (text[i] - 0x30)
            self.content_length = length
        elif known == TRANSFER_ENCODING:
            if self.content_length >= 0 or not _is(text, at, end, b"chunked", 7):
                return False
            self.chunked = True
        elif known == CONNECTION and not _is(text, at, end, b"keep-alive", 10):
            if self._of_request or not _is(text, at, end, b"close", 5):
                return False
            self.keeps_alive = False
        return True

    @cython.cfunc
    @cython.boundscheck(False)
    @cython.wraparound(False)
    def _pair(self, place: cython.Py_ssize_t) -> tuple:
        """Name, in small letters, and value of one field. What comes again and again is one object."""
        known: cython.int = self.known[place]
        at: cython.Py_ssize_t = self.value_at[place]
        size: cython.Py_ssize_t = self.value_end[place] - at
        name: bytes
        value: bytes
        pair: tuple
        if known:
            pair = self._pairs[known]
            if pair is not None:
                value = pair[1]
                if cython.compiled:
                    if PyBytes_GET_SIZE(value) == size and memcmp(PyBytes_AS_STRING(value), self._text + at, size) == 0:
                        return pair
                elif value == self._data[at : at + size]:
                    return pair
            name = _NAMES[known]
        else:
            name = self._part(self.name_at[place], self.name_end[place]).lower()
        value = self._part(at, at + size)
        pair = (name, value)
        if known and size <= _KEPT and not _secret[known]:
            self._pairs[known] = pair
        return pair

    @cython.cfunc
    def _part(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
        if cython.compiled:
            return PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, self._text) + start, end - start)
        return self._data[start:end]

    @cython.ccall
    def value(self, known: cython.int) -> bytes | None:
        """The value of the first field with the name of this number (`NUMBERS`), None if there is none."""
        place: cython.Py_ssize_t = self.place[known] if 0 <= known < KNOWN_NAMES else 0
        return self._pair(place - 1)[1] if place else None

    @cython.ccall
    @cython.boundscheck(False)
    @cython.wraparound(False)
    def fields(self) -> list:
        """All fields, as pairs of a name in small letters and a value, in their order."""
        found: list[Any] = [None] * self.count
        place: cython.Py_ssize_t
        for place in range(self.count):
            found[place] = self._pair(place)
        return found

    @cython.ccall
    def forget(self) -> object:
        """Let go of the bytes; nothing can be asked for before the next head is read."""
        self._data = b""
        self._text = b""
        self.count = 0
        if cython.compiled:
            memset(self.place, 0, cython.sizeof(self.place))
        else:
            self.place = [0] * KNOWN_NAMES
        return None


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is(
    text: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    word: cython.p_const_char,
    size: cython.Py_ssize_t,
) -> cython.bint:
    """Whether these bytes are the word, in small letters or capitals."""
    if cython.compiled:
        return end - at == size and is_word(text + at, word, size)
    return text[at:end].lower() == word
