"""What the scan of a JSON request body has found: where the values of its top-level keys lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.cpython.unicode import PyUnicode_DecodeUTF8
    from cython.cimports.edge._fast._json_strings_c import key_text
    from cython.cimports.libc.string import memchr, memcmp, memcpy
else:
    from edge._fast._json_strings import key_text

if TYPE_CHECKING:
    from edge._fast._body_text import BodyText

__all__ = ["Scanned", "number_in"]

_MOST_DIGITS = cython.declare(cython.Py_ssize_t, 12)

_TOP = cython.declare(cython.Py_ssize_t, 32)
"""Bytes that are kept of a top-level key: four places."""
_FEW_TOPS = cython.declare(cython.Py_ssize_t, 16)
"""So many of them there is room for in the object itself."""


@cython.cclass
class Scanned:
    """Of one body. `span` and ``spans`` tell where the values of its top-level keys lie: ``body[start:end]``, without
    white space around them.

    ``values`` counts the values, objects and arrays included. ``repeated``: an object below a top-level key that is
    not checked for it (`edge._fast._json.CHECKED`) has a key twice.

    Of a body that is known (`edge._fast._body_known`), ``sizes`` is how its text is measured, None where it is not, and
    ``text_bytes`` and ``schema_bytes`` are what ``text`` and ``schemas`` are to `edge._fast._measure.Measure`;
    ``unsized``: nobody has looked for that yet.
    """

    @cython.cfunc
    def of(self, body: bytes) -> object:
        """Nothing of it has been found."""
        self._body = body
        self.values = self._count = self._found_end = 0
        self.repeated = self._escaped = self.unsized = False
        self.sizes: BodyText | None = None
        self.text_bytes = self.schema_bytes = 0
        if cython.compiled:
            self._tops: bytearray = None  # type: ignore[assignment]
        else:
            self._spans: dict[str, tuple[int, int]] = {}
            self._places: list[int] = []
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def keep(
        self, name: cython.Py_ssize_t, name_end: cython.Py_ssize_t, start: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.bint:
        """The next top-level key stands between these places, without its quotes, and its value between those."""
        if not cython.compiled:
            self._spans[key_text(self._body, name, name_end)] = (start, end)
            self._places += (name, name_end, start, end)
            self._count += 1
            return True
        at: cython.Py_ssize_t = self._count
        if at == _FEW_TOPS:
            self._tops = PyByteArray_FromStringAndSize(cython.NULL, 2 * at * _TOP)
            memcpy(PyByteArray_AS_STRING(self._tops), self._few, at * _TOP)
        elif at > _FEW_TOPS and (at + 1) * _TOP > len(self._tops):
            PyByteArray_Resize(self._tops, 2 * len(self._tops))
        top: cython.p_longlong = self._top() + 4 * at
        top[0] = name
        top[1] = name_end
        top[2] = start
        top[3] = end
        self._count = at + 1
        if not self._escaped:
            text: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(self._body)) + name
            self._escaped = memchr(text, 0x5C, name_end - name) != cython.NULL
        return True

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _top(self) -> cython.p_longlong:
        """Where the places are kept. Compiled only."""
        if self._tops is None:
            return self._few
        return cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._tops))

    @property
    def places(self) -> list[int]:
        """Of each top-level key, in their order, where its name begins and ends, and its value."""
        if not cython.compiled:
            return self._places
        top: cython.p_longlong = self._top()
        return [top[i] for i in range(4 * self._count)]

    @cython.cfunc
    @cython.exceptval(-2, check=True)
    def _find(self, name: bytes) -> cython.Py_ssize_t:
        """Where the value begins of a top-level key, whose name is ASCII without quotes and backslashes; -1 without
        that. Where it ends is kept in ``_found_end``.
        """
        if not cython.compiled or self._escaped:
            span: tuple[int, int] = self.spans.get(name.decode(), (-1, -1))
            self._found_end = span[1]
            return span[0]
        size: cython.Py_ssize_t = PyBytes_GET_SIZE(name)
        body: cython.p_char = PyBytes_AS_STRING(self._body)
        top: cython.p_longlong = self._top()
        for _ in range(self._count):
            if top[1] - top[0] == size and memcmp(body + top[0], PyBytes_AS_STRING(name), size) == 0:
                self._found_end = top[3]
                return top[2]
            top += 4
        return -1

    def span(self, name: bytes) -> tuple[int, int] | None:
        """Where the value of a top-level key lies, whose name is ASCII without quotes and backslashes; None without."""
        start: cython.Py_ssize_t = self._find(name)
        return None if start < 0 else (start, self._found_end)

    def begins(self, name: bytes) -> cython.int:
        """The first byte of the value of a top-level key, as in `span`; -1 where there is none."""
        start: cython.Py_ssize_t = self._find(name)
        return -1 if start < 0 else self._body[start]

    def says(self, name: bytes, value: bytes) -> cython.bint:
        """Whether the value of a top-level key, as in `span`, is written as `value`."""
        start: cython.Py_ssize_t = self._find(name)
        if start < 0:
            return False
        size: cython.Py_ssize_t = self._found_end - start
        if not cython.compiled:
            return self._body[start : start + size] == value
        if size != PyBytes_GET_SIZE(value):
            return False
        return memcmp(PyBytes_AS_STRING(self._body) + start, PyBytes_AS_STRING(value), size) == 0

    def number(self, name: bytes) -> cython.longlong:
        """As `number_in` has it, of a top-level key, as in `span`; 0 where there is none."""
        start: cython.Py_ssize_t = self._find(name)
        return 0 if start < 0 else number_in(self._body, start, self._found_end)

    def text(self, name: bytes) -> str | None:
        """The value of a top-level key, as in `span`, if that is a string that has no escapes."""
        start: cython.Py_ssize_t = self._find(name)
        if start < 0:
            return None
        end: cython.Py_ssize_t = self._found_end
        if not cython.compiled:
            plain = self._body[start] == 0x22 and b"\\" not in self._body[start:end]
            return self._body[start + 1 : end - 1].decode() if plain else None
        string: cython.p_const_char = cython.cast(cython.p_const_char, PyBytes_AS_STRING(self._body)) + start
        if string[0] != 0x22 or memchr(string, 0x5C, end - start) != cython.NULL:
            return None
        return PyUnicode_DecodeUTF8(string + 1, end - start - 2, cython.NULL)

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """The spans of all of them."""
        if not cython.compiled:
            return self._spans
        top: cython.p_longlong = self._top()
        found: dict[str, tuple[int, int]] = {}
        for _ in range(self._count):
            found[key_text(self._body, top[0], top[1])] = (top[2], top[3])
            top += 4
        return found


@cython.ccall
@cython.exceptval(-1, check=True)
def number_in(body: bytes, begin: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.longlong:
    """The whole number above 0 that is written there, in at most 12 digits; 0 for anything else."""
    value: cython.longlong = 0
    at: cython.Py_ssize_t
    digit: cython.int
    if cython.compiled:
        data: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body))
    else:
        data = body
    if not 0 < end - begin <= _MOST_DIGITS or data[begin] == 0x30:
        return 0
    for at in range(begin, end):
        digit = data[at] - 0x30
        if digit < 0 or digit > 9:
            return 0
        value = value * 10 + digit
    return value
