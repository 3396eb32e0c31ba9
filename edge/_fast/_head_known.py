"""Heads of requests that came before: a client sends the same bytes again, but for a few values.

A `KnownHead` is made of one that was read (`RequestHead`), and has holes where the values of `HOLES` stand. Whatever
fits it would be read as that head was, with other values in the holes: between the fields nothing can be hidden in
them, since a value ends at the first control character.
"""

from __future__ import annotations

import re

from edge._fast.head_tables import ASKED, HOLES, NAMES

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
    from cython.cimports.edge._fast._head_c import RequestHead
    from cython.cimports.edge._fast._head_fields_c import CONTENT_LENGTH
    from cython.cimports.edge._fast._head_known_c import MOST_HOLES
    from cython.cimports.edge._fast._head_words import value_stop
    from cython.cimports.libc.string import memcmp
else:
    from edge._fast._head import RequestHead
    from edge._fast._head_fields import CONTENT_LENGTH

    MOST_HOLES = 32

__all__ = ["MAX_HEAD", "MAX_HOLE", "KnownHead"]

MAX_HEAD = 8192
"""Bytes; longer heads are rare, and not worth keeping."""
MAX_HOLE = 512
"""Bytes of a value in a hole."""

_MAX_HEAD = cython.declare(cython.Py_ssize_t, MAX_HEAD)
_MAX_HOLE = cython.declare(cython.Py_ssize_t, MAX_HOLE)
_MAX_DIGITS = cython.declare(cython.Py_ssize_t, 18)
_is_hole = cython.declare(list, [name in HOLES for name in NAMES])
_names = cython.declare(list, list(NAMES))
_SIZE = rb"([0-9]{1,18})"
_VALUE = rb"([\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]{0,511})"


@cython.final
@cython.cclass
class KnownHead:
    """What `head` was, with ``holes`` holes: ``key`` is the head without what is in them, each head's that fits."""

    def __init__(self, head: RequestHead) -> None:
        """`head` was read just now, and found to be of the common form. Raises ValueError for one that is not kept: of
        more than `MAX_HEAD` bytes, or with a name of `HOLES` twice.
        """
        i: cython.Py_ssize_t
        known: cython.int
        holes: cython.Py_ssize_t = 0
        at: cython.Py_ssize_t = head.start
        if head.end <= at or head.end - at > _MAX_HEAD:
            raise ValueError("no head to be kept")
        self._data = b""
        self._sized = -1
        self.content_length = head.content_length
        if not cython.compiled:
            self._asked = [False] * MOST_HOLES
            self._piece_at, self._piece_end = [0] * (MOST_HOLES + 1), [0] * (MOST_HOLES + 1)
            self.hole_at, self.hole_end = [0] * MOST_HOLES, [0] * MOST_HOLES
        pieces: list[bytes] = []
        self._names: list[bytes] = []
        empty: set[bytes] = set()
        for i in range(head.count):
            known = head.known[i]
            if not known or not _is_hole[known]:
                continue
            name = _names[known]
            if name in self._names or name in empty or holes >= MOST_HOLES:
                raise ValueError("no head to be kept")
            if head.value_end[i] == head.value_at[i]:
                empty.add(name)
                continue
            if known == CONTENT_LENGTH:
                self._sized = holes
            self._names.append(name)
            self._asked[holes] = name in ASKED
            pieces.append(head._data[at : head.value_at[i]])
            at = head.value_end[i]
            holes += 1
        pieces.append(head._data[at : head.end])
        self.holes = holes
        self.key = b"\0".join(pieces)
        at = 0
        for i in range(holes + 1):
            self._piece_at[i] = at
            at += len(pieces[i])
            self._piece_end[i] = at
            at += 1
        if cython.compiled:
            self._text = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(self.key))
        else:
            pattern = re.escape(pieces[0])
            for i in range(holes):
                pattern += (_SIZE if i == self._sized else _VALUE) + re.escape(pieces[i + 1])
            self._pattern = re.compile(pattern)

    @cython.ccall
    @cython.exceptval(check=False)
    def match(self, data: bytes, start: cython.Py_ssize_t = 0) -> cython.Py_ssize_t:
        """Where the head that begins at `start` ends, if it is this one; 0 if it is not. What is in the holes is noted
        then.
        """
        i: cython.Py_ssize_t
        k: cython.Py_ssize_t
        if not cython.compiled:
            found = self._pattern.match(data, start)
            if found is None:
                return 0
            for k in range(self.holes):
                self.hole_at[k], self.hole_end[k] = found.span(k + 1)
            if self._sized >= 0:
                self.content_length = int(found[self._sized + 1])
            self._data = data
            return found.end()
        text: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(data))
        size: cython.Py_ssize_t = PyBytes_GET_SIZE(data)
        piece: cython.Py_ssize_t
        end: cython.Py_ssize_t
        length: cython.longlong = self.content_length
        i = start
        if size > 0x7FFFFFFF:
            return 0
        for k in range(self.holes + 1):
            piece = self._piece_end[k] - self._piece_at[k]
            if size - i < piece or memcmp(text + i, self._text + self._piece_at[k], piece) != 0:
                return 0
            i += piece
            if k == self.holes:
                break
            end = i
            if k == self._sized:
                length = 0
                while end < size and 0x30 <= text[end] <= 0x39 and end - i < _MAX_DIGITS:
                    length = length * 10 + (text[end] - 0x30)
                    end += 1
            else:
                end = value_stop(text, i, size)
                if end - i > _MAX_HOLE or (i < size and (text[i] == 0x20 or text[i] == 0x09)):
                    return 0
            if end == i:
                return 0
            self.hole_at[k] = i
            self.hole_end[k] = end
            i = end
        self.content_length = length
        self._data = data
        return i

    @cython.ccall
    def take(self) -> dict:
        """What the head that fitted last has in the holes of the names in `ASKED`; its bytes are let go of."""
        found: dict = {}
        data: bytes = self._data
        k: cython.Py_ssize_t
        for k in range(self.holes if data else 0):
            if self._asked[k]:
                if cython.compiled:
                    found[self._names[k]] = PyBytes_FromStringAndSize(
                        PyBytes_AS_STRING(data) + self.hole_at[k], self.hole_end[k] - self.hole_at[k]
                    )
                else:
                    found[self._names[k]] = data[self.hole_at[k] : self.hole_end[k]]
        self._data = b""
        return found
