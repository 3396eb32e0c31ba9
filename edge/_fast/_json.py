r"""One pass over a JSON request body: is it strict JSON, how deep, and where do its top-level values lie?

RFC 8259, read strictly, because what is forwarded is the client's own bytes and every other parser on the way must read
the same thing in them:

* an object at the top, nesting at most `max_depth`, a number at most `max_number` bytes long;
* valid UTF-8, no control characters in strings, no lone surrogate escapes, no NaN, Infinity, BOM or trailing data;
* no key twice in the top-level object, nor in any object below the keys of `CHECKED`; of one anywhere else it is told.
  Keys are compared after their escapes are resolved: a second ``"mod\u0065l"`` would carry a model past an allow-list
  that looked at the first;
* at most `MAX_TOP_KEYS` keys at the top, `MAX_KEYS` below it and `MAX_VALUES` values in all, no key longer than
  `MAX_KEY` bytes. What comes after the scan takes time for each, so this is where that is bounded.

The pass is made in steps, so that a large body does not hold up whatever else its thread does. What is refused, and
why, does not depend on the steps: it is always the first byte that is wrong.
"""

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
    from cython.cimports.edge._fast._bytes import hash_bytes, plain_run
    from cython.cimports.libc.string import memchr, memcmp, memset

__all__ = ["MAX_KEYS", "MAX_VALUES", "JSONError", "JSONScanner", "scan_json"]

CHECKED = frozenset({"messages", "input", "system"})
"""Top-level keys whose whole value is checked for duplicate keys: what the model is told, in every dialect."""

MAX_TOP_KEYS = 1000
MAX_KEY = 65536
MAX_KEYS = 100_000
MAX_VALUES = 1_000_000
"""Bounds that no honest request comes near. OpenAI takes 300,000 tokens, each a number, in a request for embeddings
(https://platform.openai.com/docs/api-reference/embeddings/create); a message of a long talk has ten keys or so."""

STEP_BYTES = 262144
STEP_VALUES = 16384 if cython.compiled else 1024
"""What a step looks at: a millisecond or two, on either build."""

# The pure build's way through strings and numbers at C speed; the byte loops below name the reason of what these
# refuse. No possessive quantifiers: CPython before 3.11.4 mishandles them. The repetition is bounded, since each turn
# of it takes memory; a longer string takes several matches.
_STRING = re.compile(rb'[^"\\\x00-\x1f]*(?:\\["\\/bfnrt][^"\\\x00-\x1f]*){0,100}')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9.eE])")
_SPACE = re.compile(rb"[ \t\n\r]*")

# What may come next.
_START = cython.declare(cython.Py_ssize_t, 0)
_ELEMENT = cython.declare(cython.Py_ssize_t, 1)
_COLON = cython.declare(cython.Py_ssize_t, 2)
_VALUE = cython.declare(cython.Py_ssize_t, 3)
_AFTER = cython.declare(cython.Py_ssize_t, 4)
_END = cython.declare(cython.Py_ssize_t, 5)
_IN_KEY = cython.declare(cython.Py_ssize_t, 6)
_IN_STRING = cython.declare(cython.Py_ssize_t, 7)
_DONE = cython.declare(cython.Py_ssize_t, 8)

_KEY_BYTES = cython.declare(cython.Py_ssize_t, MAX_KEY)
_FEW_KEYS = cython.declare(cython.Py_ssize_t, 8)
# So many keys of an object are compared one by one; more are looked for in a table.
_STRIDE = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)


class JSONError(ValueError):
    """The body is refused. ``reason`` is a phrase for people, ``offset`` a byte position,
    ``duplicate`` the repeated key if that is the reason.
    """

    def __init__(self, reason: str, offset: int, duplicate: str | None = None) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset
        self.duplicate = duplicate


# Functions on the bytes at `data`, of which there are `size`. Compiled, `data` is a pointer: whoever reads at an index
# knows that it is below `size`.


@cython.cfunc
def _hex4(data: cython.p_const_uchar, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
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
        unit = _hex4(data, i + 2, size)
        if unit < 0:
            raise JSONError("invalid \\u escape", i)
        if 0xD800 <= unit <= 0xDFFF:
            low = -1
            if unit < 0xDC00 and i + 7 < size and data[i + 6] == 0x5C and data[i + 7] == 0x75:
                low = _hex4(data, i + 8, size)
            if low < 0xDC00 or low > 0xDFFF:
                raise JSONError("lone surrogate escape", i)
            return i + 12
        return i + 6
    if c in (0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74):
        return i + 2
    raise JSONError("invalid escape", i)


@cython.cfunc
def _utf8_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The index after the character at `i`, whose first byte is no ASCII (Unicode Standard, table 3-7). Compiled only."""
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
def _text_end(
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
            end = _STRING.match(data, i, stop).end()  # type: ignore[arg-type, union-attr]
            if end == stop:
                for _ in range(3):  # no character is cut
                    if end < size and data[end] & 0xC0 == 0x80:
                        end += 1
            try:
                data[i:end].decode()  # type: ignore[attr-defined]
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
def _digits_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    while i < stop and 0x30 <= data[i] <= 0x39:
        i += 1
    return i


@cython.cfunc
def _number_end(
    data: cython.p_const_uchar, start: cython.Py_ssize_t, size: cython.Py_ssize_t, limit: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """`start` is at a minus sign or a digit; return the index after the number. Looks at `limit` bytes and one."""
    i: cython.Py_ssize_t = start
    j: cython.Py_ssize_t
    stop: cython.Py_ssize_t = min(size, start + limit + 1)
    good: cython.bint = True
    if not cython.compiled:
        match = _NUMBER.match(data, start, stop)  # type: ignore[arg-type]
        if match is not None and match.end() - start <= limit:
            return match.end()
    if data[i] == 0x2D:
        i += 1
    j = _digits_end(data, i, stop)
    good = j > i and (j == i + 1 or data[i] != 0x30)
    i = j
    if good and i < stop and data[i] == 0x2E:
        j = _digits_end(data, i + 1, stop)
        good = j > i + 1
        i = j
    if good and i < stop and (data[i] == 0x65 or data[i] == 0x45):
        i += 1
        if i < stop and (data[i] == 0x2B or data[i] == 0x2D):
            i += 1
        j = _digits_end(data, i, stop)
        good = j > i
        i = j
    if i - start > limit:
        raise JSONError(f"number longer than {limit} bytes", start)
    if not good:
        raise JSONError("invalid number", start)
    return i


@cython.cfunc
def _space_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    c: cython.uchar
    if not cython.compiled:
        return _SPACE.match(data, i, stop).end()  # type: ignore[arg-type, union-attr]
    while i < stop:
        c = data[i]
        if c > 0x20 or (c != 0x20 and c != 0x0A and c != 0x0D and c != 0x09):
            break
        i += 1
    return i


@cython.cfunc
def _literal_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The index after the true, false or null at `i`."""
    c: cython.uchar = data[i]
    if i + 4 <= size:
        if c == 0x74 and data[i + 1] == 0x72 and data[i + 2] == 0x75 and data[i + 3] == 0x65:
            return i + 4
        if c == 0x6E and data[i + 1] == 0x75 and data[i + 2] == 0x6C and data[i + 3] == 0x6C:
            return i + 4
        if c == 0x66 and i + 5 <= size and data[i + 1] == 0x61 and data[i + 2] == 0x6C and data[i + 3] == 0x73:
            if data[i + 4] == 0x65:
                return i + 5
    raise JSONError("a value was expected", i)


@cython.cfunc
def _key(body: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
    """The key between `start` and `end`, escapes resolved."""
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
            size += 1
            i += 1
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
        point = _hex4(data, i + 2, end)
        i += 6
        if 0xD800 <= point <= 0xDBFF:
            point = 0x10000 + ((point - 0xD800) << 10) + (_hex4(data, i + 2, end) - 0xDC00)
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
class _Keys:
    """The keys seen so far in each open object: `open` it, `add` its keys, `close` it.

    Pure: a set for each. Compiled, in memory of its own: a stack of keys, of which an object has the topmost, each as
    place and size in the body; a key with escapes is kept resolved, apart (place: -1 - place there). An object of more
    than `_FEW_KEYS` has them in a table that is common to all. An entry there is a hash of key and object, and in a
    word, from its top, place, whether that is apart, that there is an entry, and size.
    """

    _sets: list
    _body: bytes
    _data: cython.p_const_uchar
    _frames: bytearray
    _frame: cython.Py_ssize_t
    _stack: bytearray
    _top: cython.Py_ssize_t
    _resolved: bytearray
    _used: cython.Py_ssize_t
    _table: bytearray
    _capacity: cython.Py_ssize_t
    _entries: cython.Py_ssize_t
    _serial: cython.ulonglong

    def __init__(self, body: bytes, max_depth: int) -> None:
        self._body = body
        if cython.compiled:
            self._data = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body))
            # Of each open object: where its keys begin, and its number in the table or 0.
            self._frames = PyByteArray_FromStringAndSize(cython.NULL, (max_depth + 2) * 16)
            self._frame = -1
            self._stack = PyByteArray_FromStringAndSize(cython.NULL, 64 * 16)
            self._top = 0
            self._resolved = bytearray()
            self._used = 0
            self._capacity = 0
            self._entries = 0
            self._serial = 0
        else:
            self._sets = []

    @cython.cfunc
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
    def close(self) -> cython.bint:
        if cython.compiled:
            frames: cython.p_longlong = cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._frames))
            self._top = frames[2 * self._frame]
            self._frame -= 1
        else:
            self._sets.pop()
        return True

    @cython.cfunc
    def add(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t, escaped: cython.bint) -> cython.bint:
        """Whether the innermost object has the key between `start` and `end` already; from now on it has."""
        if not cython.compiled:
            key = _key(self._body, start, end)
            seen = self._sets[-1]
            if key in seen:
                return True
            seen.add(key)
            return False
        frames: cython.p_longlong = cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._frames))
        place: cython.Py_ssize_t = start
        size: cython.Py_ssize_t = end - start
        if escaped:
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
    @cython.inline
    def _text(self, place: cython.Py_ssize_t) -> cython.p_const_uchar:
        """The bytes of a key. Compiled only."""
        if place >= 0:
            return self._data + place
        return cython.cast(cython.p_const_uchar, PyByteArray_AS_STRING(self._resolved)) + (-1 - place)

    @cython.cfunc
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
            if table[2 * at] == hashed and word & 0x1FFFF == cython.cast(cython.ulonglong, size):
                if memcmp(self._text(_place(word)), text, size) == 0:
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


@cython.final
@cython.cclass
class JSONScanner:
    """The scan of one body. `step` until it says that it is done; then ``spans`` are, for each top-level key, where its
    value lies: ``body[start:end]``, without white space around it.

    ``values`` counts the values so far, objects and arrays included. ``repeated``: an object below a top-level key that
    is none of `CHECKED` has a key twice.
    """

    spans = cython.declare(dict, visibility="readonly")
    values = cython.declare(cython.Py_ssize_t, visibility="readonly")
    repeated = cython.declare(cython.bint, visibility="readonly")
    _body: bytes
    _keys: _Keys
    _arrays: bytearray
    _depth_limit: cython.Py_ssize_t
    _number_limit: cython.Py_ssize_t
    _value_limit: cython.Py_ssize_t
    _key_limit: cython.Py_ssize_t
    _names: cython.Py_ssize_t
    _at: cython.Py_ssize_t
    _state: cython.Py_ssize_t
    _depth: cython.Py_ssize_t
    _first: cython.bint
    _checked: cython.bint
    _string: cython.Py_ssize_t
    _top_key: str
    _top_start: cython.Py_ssize_t

    def __init__(
        self,
        body: bytes,
        max_depth: int = 128,
        max_number: int = 1000,
        max_values: int = MAX_VALUES,
        max_keys: int = MAX_KEYS,
    ) -> None:
        """At most `max_depth` levels, `max_number` bytes of a number, `max_values` values, and `max_keys` keys below
        the top.
        """
        self.spans = {}
        self.values = 0
        self.repeated = False
        self._body = body
        self._keys = _Keys(body, max_depth)
        # Whether each open container is an array.
        self._arrays = bytearray(max_depth + 2)
        self._depth_limit = max_depth
        self._number_limit = max_number
        self._value_limit = max_values
        self._key_limit = max_keys
        self._names = 0
        self._at = 0
        self._state = _START
        self._depth = 0
        self._first = True
        self._checked = False
        self._string = 0
        self._top_key = ""
        self._top_start = 0

    def step(self, max_bytes: int = STEP_BYTES, max_values: int = STEP_VALUES) -> bool:
        """Go on, for about so many bytes or values; True when all is read. Raises JSONError, and then is not to be
        called again.
        """
        body: bytes = self._body
        size: cython.Py_ssize_t = len(body)
        data: cython.p_const_uchar
        arrays: cython.p_uchar
        if cython.compiled:
            data = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body))
            arrays = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(self._arrays))
        else:
            data, arrays = body, self._arrays
        i: cython.Py_ssize_t = self._at
        most: cython.Py_ssize_t = max(1, max_bytes)
        stop: cython.Py_ssize_t = size if size - i <= most else i + most
        left: cython.Py_ssize_t = max(1, max_values)
        state: cython.Py_ssize_t = self._state
        depth: cython.Py_ssize_t = self._depth
        first: cython.bint = self._first
        in_array: cython.bint = depth > 0 and arrays[depth] != 0
        end: cython.Py_ssize_t
        c: cython.uchar
        if state == _DONE:
            return True
        while True:
            if state >= _IN_KEY:
                i = _text_end(data, i, stop, size)
                if i >= stop:
                    if i >= size:
                        raise JSONError("unterminated string", self._string - 1)
                    break
                end = i
                i += 1
                if state == _IN_STRING:
                    state = _AFTER
                    if depth == 1:
                        self.spans[self._top_key] = (self._top_start, i)
                    continue
                self._name(data, end, depth)
                state = _COLON
            i = _space_end(data, i, stop)
            if i >= stop:
                if stop < size:
                    break
                if state == _END:
                    self._state = _DONE
                    return True
                if state == _START:
                    raise JSONError("the body is empty", i)
                raise JSONError("a colon was expected" if state == _COLON else "unexpected end of the body", i)
            c = data[i]
            if state == _AFTER:
                if c == 0x2C:
                    i += 1
                    first = False
                    state = _ELEMENT
                    continue
                if c != (0x5D if in_array else 0x7D):
                    raise JSONError("a comma or the end of the container was expected", i)
            elif state == _COLON:
                if c != 0x3A:
                    raise JSONError("a colon was expected", i)
                i += 1
                state = _VALUE
                continue
            elif state == _ELEMENT and first and c == (0x5D if in_array else 0x7D):
                pass  # an empty container ends
            elif state == _ELEMENT and not in_array:
                if c != 0x22:
                    raise JSONError("a key was expected", i)
                if left <= 0:
                    break
                i += 1
                self._string = i
                state = _IN_KEY
                continue
            elif state == _START:
                if c != 0x7B:
                    raise JSONError("a JSON object was expected", i)
                i += 1
                depth = 1
                self._keys.open()
                state = _ELEMENT
                continue
            elif state == _END:
                raise JSONError("data after the end of the JSON object", i)
            else:
                if left <= 0:
                    break
                left -= 1
                self.values += 1
                if self.values > self._value_limit:
                    raise JSONError(f"more than {self._value_limit} values", i)
                if depth == 1:
                    self._top_start = i
                    self._checked = self._top_key in CHECKED
                if c == 0x22:
                    i += 1
                    self._string = i
                    state = _IN_STRING
                    continue
                if c == 0x7B or c == 0x5B:
                    depth += 1
                    if depth > self._depth_limit:
                        raise JSONError(f"nested deeper than {self._depth_limit} levels", i)
                    in_array = c == 0x5B
                    arrays[depth] = in_array
                    if not in_array:
                        self._keys.open()
                    first = True
                    i += 1
                    state = _ELEMENT
                    continue
                if c == 0x2D or 0x30 <= c <= 0x39:
                    i = _number_end(data, i, size, self._number_limit)
                else:
                    i = _literal_end(data, i, size)
                state = _AFTER
                if depth == 1:
                    self.spans[self._top_key] = (self._top_start, i)
                continue
            # The container ends whose closing bracket is here.
            i += 1
            if not in_array:
                self._keys.close()
            depth -= 1
            if depth == 0:
                state = _END
                continue
            in_array = arrays[depth] != 0
            state = _AFTER
            if depth == 1:
                self.spans[self._top_key] = (self._top_start, i)
        self._at = i
        self._state = state
        self._depth = depth
        self._first = first
        return False

    @cython.cfunc
    def _name(self, data: cython.p_const_uchar, end: cython.Py_ssize_t, depth: cython.Py_ssize_t) -> object:
        """The key between ``_string`` and `end` has been read."""
        start: cython.Py_ssize_t = self._string
        key: str
        if end - start > _KEY_BYTES:
            raise JSONError(f"a key longer than {MAX_KEY} bytes", start - 1)
        if depth == 1:
            key = _key(self._body, start, end)
            if key in self.spans:
                raise JSONError("duplicate key", start - 1, key)
            if len(self.spans) >= MAX_TOP_KEYS:
                raise JSONError("too many keys", start - 1)
            self._top_key = key
            return None
        self._names += 1
        if self._names > self._key_limit:
            raise JSONError(f"more than {self._key_limit} keys below the top level", start - 1)
        if self.repeated and not self._checked:
            return None
        escaped: cython.bint
        if cython.compiled:
            escaped = memchr(data + start, 0x5C, end - start) != cython.NULL
        else:
            escaped = False
        if self._keys.add(start, end, escaped):
            if self._checked:
                raise JSONError("duplicate key", start - 1, _key(self._body, start, end))
            self.repeated = True
        return None


def scan_json(body: bytes, max_depth: int = 128, max_number: int = 1000) -> dict[str, tuple[int, int]]:
    """The ``spans`` of a `JSONScanner`, in one go. Raises JSONError."""
    scanner: JSONScanner = JSONScanner(body, max_depth, max_number)
    while not scanner.step():
        pass
    return scanner.spans
