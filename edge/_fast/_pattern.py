"""What the events of a stream have in common: most differ from the one before in a text and a number or two.

Two events that were read show what stays and where the holes are. One that fits in between has the same members, with
values of the same kinds, so what is to be known of it is known without reading it.
"""

from __future__ import annotations

import re

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.libc.string import memcmp

__all__ = ["EventPattern"]

_MOST_HOLES = cython.declare(cython.Py_ssize_t, 6)
_TRIES = cython.declare(cython.int, 8)
_DIGITS = cython.declare(cython.Py_ssize_t, 18)

# What a hole has in it: the inside of a string, or the digits of a number.
_TEXT = cython.declare(cython.int, 0)
_NUMBER = cython.declare(cython.int, 1)

_INSIDE = re.compile(rb'[^"\\\x00-\x1f]*(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*)*')
_AFTER_VALUE = cython.declare(bytes, b",}]")
_BLANKS = cython.declare(bytes, b" \t")
_WORDS = cython.declare(tuple, (b"error", b"usage", b"delta"))
# What a text must not end with: in quotes it could be a name that means something to who looks for it.


@cython.final
@cython.cclass
class EventPattern:
    """The pattern of the latest events of one stream, if they have one.

    After a `match`, ``events`` is how many there were, and ``size`` how many bytes of data they have. ``simple``: they
    differ in nothing, or in one text alone.
    """

    def __init__(self, least: int) -> None:
        """Events have at least so many bytes of data, whatever is in the holes."""
        self._least = least
        self.events = 0
        self.size = 0
        self.simple = False
        self._begin = 0
        self._end = 0
        self._latest: bytes | None = None
        self._around = 0
        # What stays, in its order; between each two there is a hole, of the kind in `_holes`.
        self._parts: list = []
        self._holes: list = []
        # Learning costs more than it brings where nothing fits: so often it may still fail.
        self._tries = _TRIES

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def match(self, data: bytes) -> cython.bint:
        """Whether these bytes are whole events, one or several, that fit the pattern."""
        size: cython.Py_ssize_t = len(data)
        at: cython.Py_ssize_t = 0
        count: cython.Py_ssize_t = len(self._parts)
        events: cython.Py_ssize_t = 0
        if count == 0:
            return False
        while at < size:
            i: cython.Py_ssize_t
            for i in range(count):
                part: bytes = self._parts[i]
                if not _stands(data, at, size, part):
                    return False
                at += len(part)
                if i + 1 < count:
                    begin: cython.Py_ssize_t = at
                    kind: cython.int = self._holes[i]
                    at = _text_end(data, at, size) if kind == _TEXT else _number_end(data, at, size)
                    if at < 0 or (kind == _TEXT and _matters(data, begin, at)):
                        return False
                    self._begin = begin
                    self._end = at
            events += 1
        if events == 1:
            self._latest = data
        self.events = events
        self.size = size - events * self._around
        if self._tries < _TRIES:
            self._tries += 1
        return events > 0

    @cython.ccall
    def text(self, data: bytes) -> bytes | None:
        """The text of a `simple` event that was matched, as it stands there; None where they differ in nothing."""
        return data[self._begin : self._end] if len(self._holes) == 1 else None

    @cython.ccall
    def learn(self, event: bytes, size: cython.Py_ssize_t) -> object:
        """Take the bytes of one event, of `size` bytes of data, which says no more than that there is another text."""
        latest: bytes | None = self._latest
        self.forget()
        head: cython.Py_ssize_t = event.find(b"{")
        # The data is one line, behind nothing but the name of the event.
        if len(event) != head + size + 2 or event.find(b"\n", head) != head + size or not _leads(event[:head]):
            return None
        self._latest = event
        if latest is not None and self._tries > 0 and latest.startswith(event[:head]):
            self._tries -= 1
            self._around = head + 2
            if not self._compare(latest, event, head):
                self._parts = []
                self._holes = []
        return None

    @cython.ccall
    def forget(self) -> object:
        """What came is another kind of event."""
        if self._latest is not None:
            self._latest = None
            self._parts = []
            self._holes = []
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _compare(self, one: bytes, other: bytes, at: cython.Py_ssize_t) -> cython.bint:
        """Whether two events that are alike up to `at` are so but for holes, which are noted."""
        i: cython.Py_ssize_t = at
        j: cython.Py_ssize_t = at
        m: cython.Py_ssize_t = len(one)
        n: cython.Py_ssize_t = len(other)
        begin: cython.Py_ssize_t = 0
        parts: list = []
        holes: list = []
        while i < m and j < n:
            c: cython.int = other[j]
            d: cython.int = one[i]
            if c == 0x22 and d == 0x22:
                i += 1
                j += 1
                k: cython.Py_ssize_t = _text_end(one, i, m)
                end: cython.Py_ssize_t = _text_end(other, j, n)
                if k < 0 or end < 0:
                    return False
                if one[i:k] != other[j:end]:
                    if not _is_value(other, j - 1, end + 1):
                        return False
                    parts.append(other[begin:j])
                    holes.append(_TEXT)
                    begin = end
                i = k + 1
                j = end + 1
            elif 0x30 <= c <= 0x39 and 0x30 <= d <= 0x39:
                k = _number_end(one, i, m)
                end = _number_end(other, j, n)
                if k < 0 or end < 0:
                    return False
                if one[i:k] != other[j:end]:
                    if _is_index(other[begin:j]):
                        return False  # it would be another choice
                    parts.append(other[begin:j])
                    holes.append(_NUMBER)
                    begin = end
                i = k
                j = end
            elif c == d:
                i += 1
                j += 1
            else:
                return False
        parts.append(other[begin:])
        self._parts = parts
        self._holes = holes
        self.simple = len(holes) == 0 or (len(holes) == 1 and holes[0] == _TEXT)
        least: cython.Py_ssize_t = -self._around
        part: bytes
        for part in parts:
            least += len(part)
        return i == m and j == n and len(holes) <= _MOST_HOLES and least >= self._least


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _stands(data: bytes, at: cython.Py_ssize_t, size: cython.Py_ssize_t, part: bytes) -> cython.bint:
    """Whether `part` stands there."""
    if not cython.compiled:
        return data.startswith(part, at)
    long: cython.Py_ssize_t = PyBytes_GET_SIZE(part)
    return long <= size - at and memcmp(PyBytes_AS_STRING(data) + at, PyBytes_AS_STRING(part), long) == 0


@cython.cfunc
@cython.exceptval(check=False)
def _text_end(data: bytes, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the string ends whose inside begins there, -1 for none."""
    if not cython.compiled:
        at = _INSIDE.match(data, at).end()  # type: ignore[union-attr]
        return at if at < size and data[at] == 0x22 else -1
    text: cython.p_const_uchar = data
    c: cython.uchar
    while at < size:
        c = text[at]
        if c == 0x22:
            return at
        if c == 0x5C:
            at += 1
            if at >= size:
                return -1
            c = text[at]
        if c < 0x20:
            return -1
        at += 1
    return -1


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=False)
def _matters(data: bytes, begin: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether a text ends with one of `_WORDS`, so that it is to be read."""
    if not cython.compiled:
        return data.endswith(_WORDS, begin, end)
    if end - begin < 5:
        return False
    last: cython.p_const_char = PyBytes_AS_STRING(data) + end - 5
    return memcmp(last, b"error", 5) == 0 or memcmp(last, b"usage", 5) == 0 or memcmp(last, b"delta", 5) == 0


@cython.cfunc
@cython.exceptval(check=False)
def _number_end(data: bytes, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the digits end that begin there, -1 where there are none or too many."""
    begin: cython.Py_ssize_t = at
    text: cython.p_const_uchar = data
    while at < size and 0x30 <= text[at] <= 0x39:
        at += 1
    return at if 0 < at - begin <= _DIGITS else -1


@cython.cfunc
@cython.exceptval(-1, check=False)
def _is_value(event: bytes, begin: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether the string there, with its quotes, is the value of a member."""
    after: bytes = event[end:].lstrip(_BLANKS)[:1]
    return event[:begin].rstrip(_BLANKS).endswith(b":") and after != b"" and after in _AFTER_VALUE


@cython.cfunc
@cython.exceptval(-1, check=False)
def _is_index(before: bytes) -> cython.bint:
    """Whether what follows is the ``index`` of something."""
    key: bytes = before.rstrip(_BLANKS)
    return key.endswith(b":") and key[:-1].rstrip(_BLANKS).endswith(b'"index"')


@cython.cfunc
@cython.exceptval(-1, check=False)
def _leads(head: bytes) -> cython.bint:
    """Whether what stands before the data is the field's name, and perhaps a line with that of the event."""
    if head == b"data: " or head == b"data:":
        return True
    return (
        head.startswith(b"event:")
        and head.endswith((b"\ndata: ", b"\ndata:"))
        and head.count(b"\n") == 1
        and b"\r" not in head
    )
