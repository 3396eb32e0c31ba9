"""A walk through a JSON text, for who looks for a few things in it and leaves all that is unusual to a decoder.

What is walked over is valid JSON (RFC 8259) in UTF-8, but for what is not walked over at all: keys with escapes or
beyond ASCII where they are looked at, numbers of more than 40 characters or with an exponent of more than two digits,
and more than 32 levels. Of what was walked over, the walk gives the `Skeleton`.
"""

from __future__ import annotations

import re

from edge._fast.answer_forms import PLACES

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.edge._fast._bytes import plain_run
    from cython.cimports.edge._fast._json_strings_c import text_end
    from cython.cimports.edge._fast._skeleton_c import Skeleton
    from cython.cimports.libc.string import memcmp

    from edge._fast._skeleton_c import MOST_GAPS, TEXT, WHOLE
else:
    from edge._fast._json_strings import text_end
    from edge._fast._skeleton import MOST_GAPS, TEXT, WHOLE, Skeleton

__all__ = ["Walk"]

_PLAIN = re.compile(rb'[^"\\\x00-\x1f\x80-\xff]*')
_MAX_DEPTH = cython.declare(cython.int, 32)
_MAX_DIGITS = cython.declare(cython.Py_ssize_t, 9)
_MAX_NUMBER = cython.declare(cython.Py_ssize_t, 40)
_MAX_WHOLE = cython.declare(cython.Py_ssize_t, 18)
_MAX_FIXED = cython.declare(cython.Py_ssize_t, 8192)
_MOST_GAPS = cython.declare(cython.int, MOST_GAPS)
_TEXT = cython.declare(cython.int, TEXT)
_WHOLE = cython.declare(cython.int, WHOLE)
_PLACES = cython.declare(cython.int, PLACES)
# The last word: the next one is mostly the same.
_bytes = cython.declare(bytes, b"")
_text = cython.declare(str, "")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _space(data: cython.p_const_uchar, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the next byte stands that is no space, `size` where there is none."""
    while i < size and data[i] <= 0x20 and (data[i] == 0x20 or data[i] == 0x0A or data[i] == 0x0D or data[i] == 0x09):
        i += 1
    return i


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _plain(data: cython.p_const_uchar, start: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the string that begins at `start` ends, if it is in ASCII and without escapes, else -1."""
    i: cython.Py_ssize_t
    if cython.compiled:  # noqa: SIM108 - one of the two is compiled
        i = start + plain_run(data + start, size - start)
    else:
        i = _PLAIN.match(data, start).end()  # type: ignore[union-attr]
    return i if i < size and data[i] == 0x22 else -1


if not cython.compiled:

    def is_key(walk: Walk, name: bytes) -> bool:
        """Whether that is the key at which a walk is; compiled, it is in `_walk_key.pxd`."""
        return walk._data[walk._key_at : walk._key_end] == name


@cython.cclass
class Walk:
    """Where one is in a text. What returns whether it is so is nowhere in particular where it is not. ``counts`` are
    those that were found, by their places, -1 for those that were not.
    """

    def __init__(self) -> None:
        self._gaps = 0
        if not cython.compiled:
            self.counts = [-1] * PLACES
            self._starts, self._ends, self._kinds = [0] * MOST_GAPS, [0] * MOST_GAPS, [0] * MOST_GAPS

    @cython.cfunc
    def _begin(self, body: bytes) -> object:
        self._body = body
        if cython.compiled:
            self._data = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body))
        else:
            self._data = body
        self._size = len(body)
        self._at = 0
        self._seen = 0
        self._gaps = 0
        place: cython.int
        for place in range(_PLACES):
            self.counts[place] = -1
        return None

    @cython.cfunc
    def _end(self) -> object:
        self._body = b""
        self._size = 0
        if not cython.compiled:
            self._data = b""
        return None

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _more(self, end: cython.int) -> cython.int:
        """After a member: 1 where another follows, 0 where `end` ends them, -1 where neither stands."""
        i: cython.Py_ssize_t = _space(self._data, self._at, self._size)
        self._at = i + 1
        if i >= self._size:
            return -1
        return 1 if self._data[i] == 0x2C else 0 if self._data[i] == end else -1

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _next(self) -> cython.int:
        """The next byte that is no space, where it stands from then on; -1 at the end."""
        self._at = _space(self._data, self._at, self._size)
        return self._data[self._at] if self._at < self._size else -1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _key(self) -> cython.bint:
        """A key, after which its value is next. One with escapes is not usual: it would have to be resolved."""
        size: cython.Py_ssize_t = self._size
        start: cython.Py_ssize_t = _space(self._data, self._at, size) + 1
        if start > size or self._data[start - 1] != 0x22:
            return False
        i: cython.Py_ssize_t = _plain(self._data, start, size)
        if i < 0:
            return False
        self._key_at = start
        self._key_end = i
        i = _space(self._data, i + 1, size)
        if i >= size or self._data[i] != 0x3A:
            return False
        self._at = _space(self._data, i + 1, size)
        return True

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _gap(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t, kind: cython.int) -> cython.bint:
        """Here the next text may have another value of this kind. More than `MOST_GAPS` are counted alone."""
        number: cython.int = self._gaps
        if number < _MOST_GAPS:
            self._starts[number] = start
            self._ends[number] = end
            self._kinds[number] = kind
        self._gaps = number + 1
        return True

    @cython.cfunc
    def _skeleton(self) -> Skeleton:
        """That of the text that has been walked over; None where that is too much to be kept."""
        at: cython.Py_ssize_t = 0
        fixed: cython.Py_ssize_t = self._size
        i: cython.int
        if self._gaps > _MOST_GAPS:
            return None
        for i in range(self._gaps):
            fixed -= self._ends[i] - self._starts[i]
        if fixed > _MAX_FIXED:
            return None
        found: Skeleton = Skeleton()
        parts: list = []
        for i in range(self._gaps):
            parts.append(self._body[at : self._starts[i]])
            found.sizes[i] = self._starts[i] - at
            found.kinds[i] = self._kinds[i]
            found.ends[i] = self._ends[i]
            at = self._ends[i]
        parts.append(self._body[at:])
        found.sizes[self._gaps] = self._size - at
        found.gaps = self._gaps
        found.fixed = b"".join(parts)
        for i in range(_PLACES):
            found.counts[i] = self.counts[i]
        return found

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _first(self, bit: cython.int) -> cython.bint:
        """Whether this is the first of its kind."""
        first: cython.bint = self._seen & bit == 0
        self._seen |= bit
        return first

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _literal(self, word: bytes) -> cython.bint:
        size: cython.Py_ssize_t = len(word)
        i: cython.Py_ssize_t
        if self._size - self._at < size:
            return False
        for i in range(size):
            if self._data[self._at + i] != word[i]:
                return False
        self._at += size
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _null(self) -> cython.bint:
        return self._next() == 0x6E and self._literal(b"null")

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _count(self, place: cython.int) -> cython.bint:
        """A count, or null (-1), which is kept at its place; whether it is one of these."""
        c: cython.int = self._next()
        gap: cython.int
        if c == 0x6E:
            for gap in range(min(self._gaps, _MOST_GAPS)):
                if self._kinds[gap] == place:
                    return False  # a number, then null: of another number there, the skeleton would not know that
            self.counts[place] = -1
            return self._literal(b"null")
        i: cython.Py_ssize_t = self._at
        start: cython.Py_ssize_t = i
        count: cython.longlong = 0
        while i < self._size and 0x30 <= self._data[i] <= 0x39 and i - start <= _MAX_DIGITS:
            count = count * 10 + (self._data[i] - 0x30)
            i += 1
        self._at = i
        if not 0 < i - start <= _MAX_DIGITS or (c == 0x30 and i - start > 1) or i >= self._size:
            return False
        # What would go on to be another number is no comma, and refused by whoever looks for one.
        self.counts[place] = count
        self._gap(start, i, place)
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _word(self) -> cython.bint:
        """A string in ASCII without escapes, or null; ``_said`` is what it says."""
        self._said = ""
        if self._next() != 0x22:
            return self._null()
        start: cython.Py_ssize_t = self._at + 1
        i: cython.Py_ssize_t = _plain(self._data, start, self._size)
        if i < 0:
            return False
        self._at = i + 1
        global _bytes, _text
        if cython.compiled:
            size: cython.Py_ssize_t = i - start
            if size != PyBytes_GET_SIZE(_bytes) or memcmp(self._data + start, PyBytes_AS_STRING(_bytes), size) != 0:
                _bytes = self._body[start:i]
                _text = _bytes.decode("ascii")
            self._said = _text
        else:
            self._said = self._body[start:i].decode("ascii")
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _skip(self) -> cython.bint:
        """Any value. Raises JSONError."""
        kinds: cython.ulonglong = 0  # a bit for each level: 1 for an object, the innermost is the lowest
        levels: cython.int = 0
        i: cython.Py_ssize_t = self._at
        size: cython.Py_ssize_t = self._size
        start: cython.Py_ssize_t
        c: cython.uchar
        while True:
            i = _space(self._data, i, size)
            if i >= size:
                return False
            c = self._data[i]
            if c == 0x7B or c == 0x5B:
                i = _space(self._data, i + 1, size)
                if i < size and self._data[i] != c + 2:
                    levels += 1
                    if levels > _MAX_DEPTH:
                        return False
                    kinds = kinds << 1 | (c == 0x7B)
                    if c == 0x7B:
                        i = self._after_key(i)
                        if i < 0:
                            return False
                    continue
                i += 1
            elif c == 0x22:
                start = i + 1
                i = self._string_end(start) + 1
                self._gap(start, i - 1, _TEXT)
            else:
                self._at = i
                if not self._scalar(c):
                    return False
                i = self._at
            while levels:
                i = _space(self._data, i, size)
                if i >= size:
                    return False
                c = self._data[i]
                i += 1
                if c == 0x2C:
                    break
                if c != (0x7D if kinds & 1 else 0x5D):
                    return False
                kinds >>= 1
                levels -= 1
            if not levels:
                self._at = i
                return i <= size
            if kinds & 1:
                i = self._after_key(i)
                if i < 0:
                    return False

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _string_end(self, start: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where any string ends that begins at `start`, the size of all if it does not. Raises JSONError."""
        i: cython.Py_ssize_t = _plain(self._data, start, self._size)
        return i if i >= 0 else text_end(self._data, start, self._size, self._size)

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _after_key(self, i: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where a value stands whose key comes at `i`, whatever that is; -1 where there is none. Raises JSONError."""
        size: cython.Py_ssize_t = self._size
        i = _space(self._data, i, size)
        if i >= size or self._data[i] != 0x22:
            return -1
        i = _space(self._data, self._string_end(i + 1) + 1, size)
        return i + 1 if i < size and self._data[i] == 0x3A else -1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _scalar(self, c: cython.int) -> cython.bint:
        """A value, which begins with `c`, that is neither a text nor has others in it."""
        if c == 0x74:
            return self._literal(b"true")
        if c == 0x66:
            return self._literal(b"false")
        if c == 0x6E:
            return self._literal(b"null")
        return self._number()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _number(self) -> cython.bint:
        start: cython.Py_ssize_t = self._at
        begun: cython.Py_ssize_t
        if self._peek() == 0x2D:
            self._at += 1
        begun = self._at
        if self._digits() == 0 or (self._data[begun] == 0x30 and self._at - begun > 1):
            return False
        c: cython.int = self._peek()
        if c != 0x2E and c | 0x20 != 0x65:
            if begun == start and self._at - start <= _MAX_WHOLE:
                self._gap(start, self._at, _WHOLE)
            return self._at - start <= _MAX_NUMBER
        if c == 0x2E:
            self._at += 1
            if self._digits() == 0:
                return False
        if self._peek() | 0x20 == 0x65:
            self._at += 1
            if self._peek() == 0x2B or self._peek() == 0x2D:
                self._at += 1
            if not 0 < self._digits() <= 2:
                return False
        return self._at - start <= _MAX_NUMBER

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _peek(self) -> cython.int:
        return self._data[self._at] if self._at < self._size else -1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _digits(self) -> cython.Py_ssize_t:
        start: cython.Py_ssize_t = self._at
        i: cython.Py_ssize_t = start
        while i < self._size and 0x30 <= self._data[i] <= 0x39:
            i += 1
        self._at = i
        return i - start
