"""The key of a request in a cache: SHA-256 over a canonical form of what its JSON says.

Requests that say the same have one form: the order of an object's keys does not matter, nor how a number is written (1,
1.0 and 10e-1 are one number, 0 and -0 too). Any two that differ have different forms, in fields that this code has
never heard of as well, and by the smallest part of a number. So an answer is never served to another question.

Version 1 of the form, where a count is in unsigned LEB128 (DWARF 5, section 7.6: seven bits a byte, the lowest first,
the high bit set in all but the last)::

    null, false, true  n  f  t
    zero               0
    other number       + or -, power, count of digits, digits (ASCII; neither the first nor the last is a zero);
                       it is digits x 10**exponent; power is 2 * exponent, or -2 * exponent - 1 of a negative one
    string             s, count of bytes, UTF-8
    array              a, count, the values
    object             o, count, each key (a string) and its value, the keys in the order of their code points
    digest's input     k, FORMAT_VERSION as a count; count of context parts, each b, count of bytes, bytes; the object

Every part says how long it is before it begins, so that no content can pass for structure. Whoever changes a byte of
this counts FORMAT_VERSION up, which leaves every kept answer behind.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256

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
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
    from cython.cimports.cpython.dict import PyDict_Keys
    from cython.cimports.edge._fast._text import ascii_data, is_ascii, sort_texts
    from cython.cimports.libc.string import memcpy

__all__ = ["FORMAT_VERSION", "begun_digest", "canonical", "digest_after", "request_digest"]

FORMAT_VERSION = 1

MAX_DEPTH = 200
"""Levels of arrays and objects. The scan of a body allows fewer; this bounds the recursion."""

MAX_DIGITS = 4300
"""Of an int: what CPython converts to text by default (sys.int_info.default_max_str_digits), since the time it takes is
quadratic."""

MAX_EXPONENT = 4 * 10**18
"""Of a number as it is written. The decimal module's own limits are within it; twice as much fits into 64 bits."""

_TOO_HIGH = 10**MAX_DIGITS
_TOO_LOW = -_TOO_HIGH
_FIRST_ROOM = 2048


@cython.cfunc
@cython.inline
def _leb(to: cython.p_char, count: cython.longlong) -> cython.p_char:
    """Write `count`, which is not negative, and return where it ends: at most nine bytes, 63 bits. Compiled only."""
    while count > 0x7F:
        to[0] = (count & 0x7F) | 0x80
        count >>= 7
        to += 1
    to[0] = count
    return to + 1


@cython.cfunc
def _exponent(data: cython.p_const_char, size: cython.Py_ssize_t) -> cython.longlong:
    """The number that is written in the `size` bytes at `data`: a sign or none, then digits. Compiled only."""
    value: cython.longlong = 0
    most: cython.longlong = MAX_EXPONENT
    i: cython.Py_ssize_t = 1 if size and (data[0] == 0x2D or data[0] == 0x2B) else 0
    while i < size:
        value = value * 10 + (data[i] - 0x30)
        # Before there is a next digit: ten times `most` does not fit into 64 bits.
        if value > most or (value > most // 10 and i + 1 < size):
            raise ValueError("the exponent of a number is out of range")
        i += 1
    return -value if size and data[0] == 0x2D else value


@cython.final
@cython.cclass
class _Form:
    """The bytes of a form, while it grows. Compiled, they are those of `_data` before `_to`; `_stop` is its end."""

    _data: bytearray
    _to: cython.p_char
    _stop: cython.p_char

    def __init__(self) -> None:
        if cython.compiled:
            self._data = PyByteArray_FromStringAndSize(cython.NULL, _FIRST_ROOM)
            self._to = PyByteArray_AS_STRING(self._data)
            self._stop = self._to + len(self._data)
        else:
            self._data = bytearray()

    @cython.cfunc
    @cython.inline
    def _room(self, more: cython.Py_ssize_t) -> cython.p_char:
        """Where the next bytes go, `more` at most. Compiled only."""
        if more > self._stop - self._to:
            self._grow(more)
        return self._to

    @cython.cfunc
    def _grow(self, more: cython.Py_ssize_t) -> object:
        used: cython.Py_ssize_t = self._to - PyByteArray_AS_STRING(self._data)
        PyByteArray_Resize(self._data, max(used + more, len(self._data) * 2))
        self._to = PyByteArray_AS_STRING(self._data) + used
        self._stop = self._to + (len(self._data) - used)
        return None

    @cython.cfunc
    def _whole(self) -> bytes:
        if cython.compiled:
            start: cython.p_char = PyByteArray_AS_STRING(self._data)
            return PyBytes_FromStringAndSize(start, self._to - start)
        return bytes(self._data)

    @cython.cfunc
    def _feed(self, begun: object) -> object:
        """Give a hash what is here. Nothing may be added later."""
        if cython.compiled:
            PyByteArray_Resize(self._data, self._to - PyByteArray_AS_STRING(self._data))
        begun.update(self._data)
        return begun

    @cython.cfunc
    @cython.inline
    def _count(self, count: cython.longlong) -> object:
        """`count` is not negative."""
        if cython.compiled:
            self._to = _leb(self._room(9), count)
        else:
            while count > 0x7F:
                self._data.append((count & 0x7F) | 0x80)
                count >>= 7
            self._data.append(count)
        return None

    @cython.cfunc
    @cython.inline
    def _tag(self, tag: cython.uchar) -> object:
        if cython.compiled:
            self._room(1)[0] = tag
            self._to += 1
        else:
            self._data.append(tag)
        return None

    @cython.cfunc
    def _part(self, tag: cython.uchar, data: bytes) -> object:
        if cython.compiled:
            self._copy(tag, PyBytes_AS_STRING(data), len(data))
        else:
            self._tag(tag)
            self._count(len(data))
            self._data += data
        return None

    @cython.cfunc
    @cython.inline
    def _copy(self, tag: cython.uchar, data: cython.p_const_char, size: cython.Py_ssize_t) -> object:
        """A tag, `size`, and the `size` bytes at `data`. Compiled only."""
        to: cython.p_char = self._room(size + 10)
        to[0] = tag
        to = _leb(to + 1, size)
        memcpy(to, data, size)
        self._to = to + size
        return None

    @cython.cfunc
    def _string(self, text: str) -> object:
        if cython.compiled and is_ascii(text):
            self._copy(0x73, ascii_data(text), len(text))
            return None
        # Not through the str's own UTF-8, which would stay in memory for as long as the str.
        try:
            data: bytes = text.encode()
        except UnicodeEncodeError:
            raise ValueError("a string has a lone surrogate") from None
        self._part(0x73, data)
        return None

    @cython.cfunc
    def _number(self, text: str) -> object:
        """`text` is what str gives for an int or a Decimal, and repr for a float."""
        exponent: cython.longlong
        power: cython.longlong
        count: cython.Py_ssize_t
        if cython.compiled:
            if not is_ascii(text):
                raise ValueError("a number is not finite")
            # All indexes below are in range(size): text is held by the caller, and does not change.
            size: cython.Py_ssize_t = len(text)
            data: cython.p_const_char = ascii_data(text)
            start: cython.Py_ssize_t = 1 if size and data[0] == 0x2D else 0
            point: cython.Py_ssize_t = -1
            first: cython.Py_ssize_t = -1
            last: cython.Py_ssize_t = -1
            end: cython.Py_ssize_t = start
            c: cython.char
            while end < size:
                c = data[end]
                if 0x31 <= c <= 0x39:
                    if first < 0:
                        first = end
                    last = end
                elif c == 0x2E:
                    point = end
                elif c != 0x30:
                    break
                end += 1
            if end == start or (end < size and data[end] != 0x65 and data[end] != 0x45):
                raise ValueError("a number is not finite")
            if first < 0:
                self._tag(0x30)
                return None
            exponent = _exponent(data + end + 1, size - end - 1) if end < size else 0
            if point < 0:
                point = end
            exponent += point - last - 1 if last < point else point - last
            count = last - first + (0 if first < point < last else 1)
            power = exponent * 2 if exponent >= 0 else -exponent * 2 - 1
            to: cython.p_char = self._room(count + 19)
            to[0] = 0x2D if start else 0x2B
            to = _leb(_leb(to + 1, power), count)
            if first < point < last:
                memcpy(to, data + first, point - first)
                to += point - first
                first = point + 1
            memcpy(to, data + first, last - first + 1)
            self._to = to + (last - first + 1)
        else:
            mantissa, _, power = text.lower().partition("e")
            whole, _, fraction = mantissa.removeprefix("-").partition(".")
            if not (whole + fraction).isdecimal():
                raise ValueError("a number is not finite")
            digits = (whole + fraction).lstrip("0")
            kept = digits.rstrip("0")
            if not kept:
                self._tag(0x30)
                return None
            exponent = int(power or 0)
            if abs(exponent) > MAX_EXPONENT:
                raise ValueError("the exponent of a number is out of range")
            exponent += len(digits) - len(kept) - len(fraction)
            self._tag(0x2D if text[0] == "-" else 0x2B)
            power = exponent * 2 if exponent >= 0 else -exponent * 2 - 1
            self._count(power)
            self._count(len(kept))
            self._data += kept.encode()
        return None

    @cython.cfunc
    def _object(self, members: dict, levels: cython.Py_ssize_t) -> object:
        keys: list
        if cython.compiled:
            keys = PyDict_Keys(members)
            texts: cython.bint = sort_texts(keys)
        else:
            keys = list(members)
            texts = all(type(key) is str for key in keys)
            if texts:
                keys.sort()
        if not texts:
            raise TypeError("an object has a key that is no str")
        self._tag(0x6F)
        self._count(len(keys))
        for key in keys:
            self._string(key)
            self._value(members[key], levels)
        return None

    @cython.cfunc
    def _value(self, value: object, levels: cython.Py_ssize_t) -> object:
        """`levels` is how many containers may yet be in one another."""
        if type(value) is str:
            self._string(value)
        elif type(value) is dict:
            if levels == 0:
                raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
            self._object(value, levels - 1)
        elif type(value) is list:
            if levels == 0:
                raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
            items: list = value
            self._tag(0x61)
            self._count(len(items))
            for item in items:
                self._value(item, levels - 1)
        elif value is None:
            self._tag(0x6E)
        elif value is True:
            self._tag(0x74)
        elif value is False:
            self._tag(0x66)
        elif type(value) is int:
            if not _TOO_LOW < value < _TOO_HIGH:
                raise ValueError(f"a number has more than {MAX_DIGITS} digits")
            self._number(str(value))
        elif type(value) is Decimal:
            self._number(str(value))
        elif type(value) is float:
            self._number(repr(value))
        else:
            raise TypeError(f"a value is {type(value).__name__}, which JSON has not")
        return None


def canonical(value: object) -> bytes:
    """The canonical form of a decoded JSON value: dict, list, str, int, float, Decimal, bool or None, none a subclass.

    A float counts as the decimal number that repr gives, the shortest that is read back as the same float. Raises
    ValueError for NaN and infinity, a str with a lone surrogate, more than MAX_DEPTH levels and an int of more than
    MAX_DIGITS digits, TypeError for any other type and for a key that is no str.
    """
    form: _Form = _Form()
    form._value(value, MAX_DEPTH)
    return form._whole()


def begun_digest(context: tuple[bytes, ...]) -> object:
    """SHA-256 over the version and the parts of `context`, which is what an answer depends on besides the body, always
    in the same order: the beginning of `digest_after`, for all requests that have this context.
    """
    if type(context) is not tuple:
        raise TypeError("a context is a tuple")
    form: _Form = _Form()
    form._tag(0x6B)
    form._count(FORMAT_VERSION)
    form._count(len(context))
    for part in context:
        if type(part) is not bytes:
            raise TypeError(f"a part of the context is {type(part).__name__}, not bytes")
        form._part(0x62, part)
    return form._feed(sha256())


def digest_after(begun: object, body: dict[str, object], without: frozenset[str]) -> bytes:
    """32 bytes: SHA-256 over what has `begun`, and the form of `body` without some top-level fields. Raises what
    :func:`canonical` raises.
    """
    if type(body) is not dict or type(without) is not frozenset:
        raise TypeError("a dict and a frozenset are needed")
    form: _Form = _Form()
    kept: dict = body
    for name in without:
        if name in kept:
            if kept is body:
                kept = body.copy()
            del kept[name]
    form._value(kept, MAX_DEPTH)
    digest: bytes = form._feed(begun.copy()).digest()
    return digest


def request_digest(context: tuple[bytes, ...], body: dict[str, object], without: frozenset[str]) -> bytes:
    """`digest_after` what `begun_digest` makes of a context."""
    return digest_after(begun_digest(context), body, without)
