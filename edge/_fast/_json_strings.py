"""The strings of a JSON text: where one ends, and which keys an object has twice."""

from __future__ import annotations

import json
import re

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytearray import (
        PyByteArray_AS_STRING,
        PyByteArray_FromStringAndSize,
        PyByteArray_Resize,
    )
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING
    from cython.cimports.cpython.unicode import PyUnicode_DecodeUTF8
    from cython.cimports.edge._fast._bytes import hash_bytes, plain_run
    from cython.cimports.libc.string import memchr, memcmp, memset

__all__ = ["MAX_KEY", "JSONError"]

MAX_KEY = 65536
"""Bytes of a key, at most: `Keys` has 17 bits for them."""

# The pure build's way through strings at C speed; the byte loop below names the reason of what these
# refuse. No possessive quantifiers: CPython before 3.11.4 mishandles them. The repetition is bounded, since each turn
# of it takes memory; a longer string takes several matches.
_STRING = re.compile(rb'[^"\\\x00-\x1f]*(?:\\["\\/bfnrt][^"\\\x00-\x1f]*){0,100}')

_FEW_KEYS = cython.declare(cython.Py_ssize_t, 8)
# So many keys of an object are compared one by one; more are looked for in a table.
_STRIDE = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)


class JSONError(ValueError):
    """The body is refused. ``reason`` is a phrase for people, ``offset`` a byte position,
    ``duplicate`` the repeated key if that is the reason; ``limit``: it is JSON so far, but more of it than is read.
    """

    def __init__(self, reason: str, offset: int, duplicate: str | None = None, limit: bool = False) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset
        self.duplicate = duplicate
        self.limit = limit


# Functions on the bytes at `data`, of which there are `size`. Compiled, `data` is a pointer: whoever reads at an index
# knows that it is below `size`.


@cython.cfunc
def hex4(data: cython.p_const_uchar, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Value of the four hex digits at `i`, or -1."""
    value: cython.Py_ssize_t = 0
    j: cython.Py_ssize_t
    c: cython.uchar
    if i + 4 > size:
        return -1
    for j in range(i, i + 4):
        c = data[j]
        if 0x30 <= c <= 0x39:
            value = value * 16 + (c - 0x30)
        elif 0x61 <= (c | 0x20) <= 0x66:
            value = value * 16 + ((c | 0x20) - 0x57)
        else:
            return -1
    return value


@cython.cfunc
def _escape_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """`i` is at a backslash inside a string; return the index after its escape."""
    c: cython.uchar
    unit: cython.Py_ssize_t
    low: cython.Py_ssize_t
    if i + 1 >= size:
        raise JSONError("unterminated string", i)
    c = data[i + 1]
    if c == 0x75:
        unit = hex4(data, i + 2, size)
        if unit < 0:
            raise JSONError("invalid \\u escape", i)
        if 0xD800 <= unit <= 0xDFFF:
            low = -1
            if unit < 0xDC00 and i + 7 < size and data[i + 6] == 0x5C and data[i + 7] == 0x75:
                low = hex4(data, i + 8, size)
            if low < 0xDC00 or low > 0xDFFF:
                raise JSONError("lone surrogate escape", i)
            return i + 12
        return i + 6
    if c in (0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74):
        return i + 2
    raise JSONError("invalid escape", i)


@cython.cfunc
def _utf8_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The index after the character at `i`, whose first byte is no ASCII (Unicode, table 3-7). Compiled only."""
    c: cython.uchar = data[i]
    low: cython.uchar = 0x80
    high: cython.uchar = 0xBF
    more: cython.Py_ssize_t
    j: cython.Py_ssize_t
    if 0xC2 <= c <= 0xDF:
        more = 1
    elif 0xE0 <= c <= 0xEF:
        more = 2
        if c == 0xE0:
            low = 0xA0
        elif c == 0xED:
            high = 0x9F
    elif 0xF0 <= c <= 0xF4:
        more = 3
        if c == 0xF0:
            low = 0x90
        elif c == 0xF4:
            high = 0x8F
    else:
        raise JSONError("invalid UTF-8", i)
    if i + more >= size or data[i + 1] < low or data[i + 1] > high:
        raise JSONError("invalid UTF-8", i)
    for j in range(i + 2, i + more + 1):
        if data[j] & 0xC0 != 0x80:
            raise JSONError("invalid UTF-8", i)
    return i + more + 1


@cython.cfunc
def text_end(
    data: cython.p_const_uchar, i: cython.Py_ssize_t, stop: cython.Py_ssize_t, size: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """`i` is inside a string; return the index of its closing quote, or, where that does not come before `stop`, an
    index from which to go on: `stop` or a little more.
    """
    c: cython.uchar
    end: cython.Py_ssize_t
    while i < stop:
        if cython.compiled:
            i += plain_run(data + i, stop - i)
        else:
            end = _STRING.match(data, i, stop).end()  # type: ignore[union-attr]
            if end == stop:
                for _ in range(3):  # no character is cut
                    if end < size and data[end] & 0xC0 == 0x80:
                        end += 1
            try:
                data[i:end].decode()
            except UnicodeDecodeError as error:
                raise JSONError("invalid UTF-8", i + error.start) from None
            i = end
        if i >= stop:
            break
        c = data[i]
        if c == 0x22:
            return i
        if c == 0x5C:
            i = _escape_end(data, i, size)
        elif c < 0x20:
            raise JSONError("control character in a string", i)
        else:
            i = _utf8_end(data, i, size)
    return i


@cython.cfunc
def key_text(body: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
    """The key between `start` and `end`, escapes resolved."""
    if cython.compiled:
        name: cython.p_const_char = PyBytes_AS_STRING(body) + start
        if memchr(name, 0x5C, end - start) == cython.NULL:
            return PyUnicode_DecodeUTF8(name, end - start, cython.NULL)
    raw: bytes = body[start:end]
    if b"\\" in raw:
        text: str = json.loads(raw.join((b'"', b'"')))
        return text
    return raw.decode()


@cython.cfunc
def _resolve(
    data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t, to: cython.p_uchar
) -> cython.Py_ssize_t:
    """Write the text of a string without its escapes to `to`, and return its size. It has been found good; what is
    written is never longer. Compiled only.
    """
    size: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t = start
    c: cython.uchar
    point: cython.Py_ssize_t
    while i < end:
        c = data[i]
        if c != 0x5C:
            to[size] = c
            size, i = size + 1, i + 1
            continue
        c = data[i + 1]
        if c != 0x75:
            i += 2
            if c == 0x62:
                c = 0x08
            elif c == 0x66:
                c = 0x0C
            elif c == 0x6E:
                c = 0x0A
            elif c == 0x72:
                c = 0x0D
            elif c == 0x74:
                c = 0x09
            to[size] = c
            size += 1
            continue
        point = hex4(data, i + 2, end)
        i += 6
        if 0xD800 <= point <= 0xDBFF:
            point = 0x10000 + ((point - 0xD800) << 10) + (hex4(data, i + 2, end) - 0xDC00)
            i += 6
        if point < 0x80:
            to[size] = point
            size += 1
            continue
        if point < 0x800:
            to[size] = 0xC0 | (point >> 6)
        elif point < 0x10000:
            to[size] = 0xE0 | (point >> 12)
            size += 1
            to[size] = 0x80 | ((point >> 6) & 0x3F)
        else:
            to[size] = 0xF0 | (point >> 18)
            size += 1
            to[size] = 0x80 | ((point >> 12) & 0x3F)
            size += 1
            to[size] = 0x80 | ((point >> 6) & 0x3F)
        size += 1
        to[size] = 0x80 | (point & 0x3F)
        size += 1
    return size


@cython.cfunc
@cython.inline
def _place(word: cython.ulonglong) -> cython.Py_ssize_t:
    """The place that an entry of the table of keys has. Compiled only."""
    place: cython.Py_ssize_t = word >> 19
    return -1 - place if word & 0x40000 else place


@cython.final
@cython.cclass
class Keys:
    """The keys seen so far in each open object: `open` it, `add` its keys, `close` it.

    Pure: a set for each. Compiled, in memory of its own: a stack of keys, of which an object has the topmost, each as
    place and size in the body; a key with escapes is kept resolved, apart (place: -1 - place there). An object of more
    than `_FEW_KEYS` has them in a table that is common to all. An entry there is a hash of key and object, and in a
    word, from its top, place, whether that is apart, that there is an entry, and size.
    """

    def __init__(self, max_depth: int) -> None:
        self._body = b""
        self._deepest = max_depth
        if cython.compiled:
            # Of each open object: where its keys begin, and its number in the table or 0.
            self._frames = PyByteArray_FromStringAndSize(cython.NULL, (max_depth + 2) * 16)
            self._stack = PyByteArray_FromStringAndSize(cython.NULL, 64 * 16)
            self._resolved = bytearray()
            self._table = bytearray()
        self.forget()

    @cython.cfunc
    def begin(self, body: bytes) -> object:
        """Of this body, from here on."""
        self._body = body
        if cython.compiled:
            self._data = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body))
        return body

    @cython.cfunc
    def forget(self) -> object:
        """Begin anew, with no object open, and keep no more memory than most bodies need."""
        self._body = b""
        if cython.compiled:
            self._data = cython.NULL
            self._frame = -1
            self._top = 0
            self._used = 0
            self._capacity = 0
            self._entries = 0
            self._serial = 0
            if len(self._resolved):
                self._resolved = bytearray()
            if len(self._table):
                self._table = bytearray()
            if len(self._stack) > 64 * 16:
                self._stack = PyByteArray_FromStringAndSize(cython.NULL, 64 * 16)
        else:
            self._sets: list[set[str]] = []
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def open(self) -> cython.bint:
        if cython.compiled:
            frames: cython.p_longlong = cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._frames))
            self._frame += 1
            frames[2 * self._frame] = self._top
            frames[2 * self._frame + 1] = 0
        else:
            self._sets.append(set())
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def close(self) -> cython.bint:
        if cython.compiled:
            frames: cython.p_longlong = cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._frames))
            self._top = frames[2 * self._frame]
            self._frame -= 1
        else:
            self._sets.pop()
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def add(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether the innermost object has the key between `start` and `end` already; from now on it has."""
        if not cython.compiled:
            key = key_text(self._body, start, end)
            seen = self._sets[-1]
            if key in seen:
                return True
            seen.add(key)
            return False
        frames: cython.p_longlong = cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._frames))
        place: cython.Py_ssize_t = start
        size: cython.Py_ssize_t = end - start
        if memchr(self._data + start, 0x5C, size) != cython.NULL:
            if self._used + size > len(self._resolved):
                PyByteArray_Resize(self._resolved, max(4096, 2 * (self._used + size)))
            size = _resolve(
                self._data, start, end, cython.cast(cython.p_uchar, PyByteArray_AS_STRING(self._resolved)) + self._used
            )
            place = -1 - self._used
            self._used += size
        number: cython.ulonglong = frames[2 * self._frame + 1]
        if number:
            return self._enter(number, place, size)
        begin: cython.Py_ssize_t = frames[2 * self._frame]
        keys: cython.p_longlong = cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._stack))
        i: cython.Py_ssize_t
        for i in range(begin, self._top):
            if keys[2 * i + 1] == size and memcmp(self._text(keys[2 * i]), self._text(place), size) == 0:
                return True
        if self._top - begin == _FEW_KEYS:
            self._serial += 1
            frames[2 * self._frame + 1] = self._serial
            for i in range(begin, self._top):
                self._enter(self._serial, keys[2 * i], keys[2 * i + 1])
            self._top = begin
            return self._enter(self._serial, place, size)
        if (self._top + 1) * 16 > len(self._stack):
            PyByteArray_Resize(self._stack, 2 * len(self._stack))
            keys = cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._stack))
        keys[2 * self._top] = place
        keys[2 * self._top + 1] = size
        self._top += 1
        return False

    @cython.cfunc
    @cython.exceptval(check=False)
    def _text(self, place: cython.Py_ssize_t) -> cython.p_const_uchar:
        """The bytes of a key. Compiled only."""
        if place >= 0:
            return self._data + place
        return cython.cast(cython.p_const_uchar, PyByteArray_AS_STRING(self._resolved)) + (-1 - place)

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def _enter(self, number: cython.ulonglong, place: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.bint:
        """As `add`, in the table. Compiled only."""
        if 2 * self._entries >= self._capacity:
            self._grow()
        table: cython.p_ulonglong = cython.cast(cython.p_ulonglong, PyByteArray_AS_STRING(self._table))
        text: cython.p_const_uchar = self._text(place)
        # The numbers of two objects differ in a product with an odd number, and so do the hashes of one key in both.
        hashed: cython.ulonglong = hash_bytes(text, size) ^ (number * _STRIDE)
        mask: cython.ulonglong = self._capacity - 1
        at: cython.ulonglong = (hashed ^ (hashed >> 32)) & mask
        word: cython.ulonglong
        while True:
            word = table[2 * at + 1]
            if not word:
                break
            if (
                table[2 * at] == hashed
                and word & 0x1FFFF == cython.cast(cython.ulonglong, size)
                and memcmp(self._text(_place(word)), text, size) == 0
            ):
                return True
            at = (at + 1) & mask
        table[2 * at] = hashed
        word = place if place >= 0 else -1 - place
        table[2 * at + 1] = (word << 19) | (0x40000 if place < 0 else 0) | 0x20000 | cython.cast(cython.ulonglong, size)
        self._entries += 1
        return False

    @cython.cfunc
    def _grow(self) -> object:
        """Compiled only."""
        capacity: cython.ulonglong = max(64, 2 * self._capacity)
        grown: bytearray = PyByteArray_FromStringAndSize(cython.NULL, capacity * 16)
        new: cython.p_ulonglong = cython.cast(cython.p_ulonglong, PyByteArray_AS_STRING(grown))
        memset(new, 0, capacity * 16)
        i: cython.Py_ssize_t
        at: cython.ulonglong
        if self._capacity:
            old: cython.p_ulonglong = cython.cast(cython.p_ulonglong, PyByteArray_AS_STRING(self._table))
            for i in range(self._capacity):
                if old[2 * i + 1]:
                    at = (old[2 * i] ^ (old[2 * i] >> 32)) & (capacity - 1)
                    while new[2 * at + 1]:
                        at = (at + 1) & (capacity - 1)
                    new[2 * at] = old[2 * i]
                    new[2 * at + 1] = old[2 * i + 1]
        self._table = grown
        self._capacity = capacity
        return None


_spare = cython.declare(Keys, None)
"""The keys of the scan that was done last: nearly all scans are done one after the other."""


@cython.cfunc
def spare_keys(max_depth: cython.Py_ssize_t) -> Keys:
    global _spare
    keys, _spare = _spare, None
    return keys if keys is not None and keys._deepest >= max_depth else Keys(max_depth)


@cython.cfunc
def give_back(keys: Keys) -> object:
    global _spare
    keys.forget()
    _spare = keys
    return keys
