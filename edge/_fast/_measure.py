"""How much text there is in a request, for who walks through one."""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.edge._fast._json_strings_c import hex4
    from cython.cimports.edge._fast._walk_c import Walk
    from cython.cimports.libc.string import memchr

    from edge._fast._skeleton_c import MOST_GAPS, TEXT
else:
    from edge._fast._json_strings import hex4
    from edge._fast._skeleton import MOST_GAPS, TEXT
    from edge._fast._walk import Walk

__all__ = ["BILLING", "COUNTED", "COUNTED_WHOLE", "LEADING", "MEASURED", "SAID", "Measure", "openings"]

MEASURED, LEADING, COUNTED, COUNTED_WHOLE, SAID = -3, -4, -5, -6, -7
"""More kinds of gaps (`edge._fast._skeleton.TEXT`): a text that is measured; one that is, unless it begins with
`BILLING`; a string and a whole number in a tool, whose bytes count; a word that says what the rest is."""
BILLING = b"x-anthropic-billing-header:"
"""How the line begins that Claude Code has before all else, and that no model is shown (`edge.dialects.billing`)."""

LONGEST_WORD = 64
"""Bytes of a word of which others are told apart: it is kept, once for each gap. Types of parts and names of tools are
not longer."""

_MOST_DIGITS = cython.declare(cython.Py_ssize_t, 18)
_LONGEST_WORD = cython.declare(cython.Py_ssize_t, LONGEST_WORD)
_SAID = cython.declare(cython.int, SAID)
_TEXT = cython.declare(cython.int, TEXT)
_MOST_GAPS = cython.declare(cython.int, MOST_GAPS)
_MEASURED = cython.declare(cython.int, MEASURED)
_COUNTED = cython.declare(cython.int, COUNTED)
_COUNTED_WHOLE = cython.declare(cython.int, COUNTED_WHOLE)


@cython.cfunc
@cython.exceptval(-2, check=False)
def escape(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the next backslash stands, -1 for nowhere."""
    if cython.compiled:
        if start >= end:
            return -1
        found = cython.declare(cython.p_const_uchar)
        found = cython.cast(cython.p_const_uchar, memchr(data + start, 0x5C, end - start))
        return -1 if found == cython.NULL else found - data
    return data.find(b"\\", start, end)


@cython.cfunc
@cython.exceptval(-2, check=False)
def saved(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """How many bytes more than the text a string takes, for its escapes; -1 for half of a character."""
    less: cython.Py_ssize_t = 0
    code: cython.Py_ssize_t
    i: cython.Py_ssize_t = escape(data, start, end)
    while i >= 0:
        if data[i + 1] != 0x75:
            less += 1
            i = escape(data, i + 2, end)
            continue
        code = hex4(data, i + 2, end)
        if 0xD800 <= code < 0xE000:
            # Two of them are one character, of four bytes.
            if code >= 0xDC00 or i + 12 > end or data[i + 6] != 0x5C or data[i + 7] != 0x75:
                return -1
            if not 0xDC00 <= hex4(data, i + 8, end) < 0xE000:
                return -1
            less += 8
            i += 6
        else:
            less += 5 if code < 0x80 else 4 if code < 0x800 else 3
        i = escape(data, i + 6, end)
    return less


@cython.cfunc
@cython.exceptval(-1, check=False)
def plainly(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether all escapes of a string are those that it cannot do without."""
    i: cython.Py_ssize_t = escape(data, start, end)
    while i >= 0:
        if data[i + 1] == 0x75 or data[i + 1] == 0x2F:
            return False
        i = escape(data, i + 2, end)
    return True


@cython.cclass
class Measure(Walk):  # type: ignore[misc]
    """``text`` is how many bytes of UTF-8 the texts have that were measured, ``tools`` how many tools there are, and
    ``schemas`` how many bytes their JSON has without spaces; ``messages``, ``images`` and ``thinks`` are the reader's.
    What returns whether it is so says no to what a decoder has to look at.

    What each gap is to the measure is noted as its kind. ``steady``: a body that is like this one, and has the same
    words in the gaps that are `SAID`, is measured by the same of its gaps.
    """

    @cython.cfunc
    def _begin_measure(self, body: bytes) -> object:
        self.text: cython.longlong = 0
        self.messages: cython.longlong = 0
        self.images: cython.longlong = 0
        self.tools = 0
        self.schemas: cython.longlong = 0
        self.thinks = False
        self.steady = True
        self._begin(body)
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _worded(self, kind: cython.int) -> cython.bint:
        """A string in ASCII without escapes, at which the walk is, as a gap of this kind."""
        start: cython.Py_ssize_t = self._at + 1
        if not self._word():
            return False
        if kind == _SAID and self._at - 1 - start > _LONGEST_WORD:
            self.steady = False
        return self._gap(start, self._at - 1, kind)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _measure(self) -> cython.bint:
        """A text."""
        start: cython.Py_ssize_t = self._at + 1  # type: ignore[has-type]
        end: cython.Py_ssize_t = self._string_end(start)
        if end >= self._size:
            return False
        less: cython.Py_ssize_t = saved(self._data, start, end)
        self._gap(start, end, _MEASURED)
        self.text += end - start - less
        self._at = end + 1
        return less >= 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _described(self) -> cython.bint:
        """A list of tools."""
        c: cython.int = self._next()
        if c == 0x6E:
            return self._literal(b"null")
        if c != 0x5B:
            return False
        self._at += 1
        if self._next() == 0x5D:
            self._at += 1
            return True
        while True:
            self.tools += 1
            if not self._compact():
                return False
            c = self._more(0x5D)
            if c <= 0:
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _compact(self) -> cython.bint:
        """Any value, measured without the spaces in it: false where it might be written in another way."""
        self._next()
        before: cython.int = self._gaps
        gap: cython.int
        i: cython.Py_ssize_t = self._at
        if not self._skip():
            return False
        end: cython.Py_ssize_t = self._at
        for gap in range(before, min(self._gaps, _MOST_GAPS)):
            self._kinds[gap] = _COUNTED if self._kinds[gap] == _TEXT else _COUNTED_WHOLE
        close: cython.Py_ssize_t
        digits: cython.Py_ssize_t = 0
        c: cython.uchar
        while i < end:
            c = self._data[i]
            if c == 0x22:
                close = self._string_end(i + 1)
                if not plainly(self._data, i + 1, close):
                    return False
                self.schemas += close + 1 - i
                i = close + 1
                digits = 0
                continue
            digits = digits + 1 if 0x30 <= c <= 0x39 else 0
            # A fraction, an exponent, a zero below zero, a number beyond 64 bits.
            if c == 0x2E or c == 0x45 or digits > _MOST_DIGITS or (c == 0x2D and self._data[i + 1] == 0x30):
                return False
            if c == 0x65 and 0x30 <= self._data[i - 1] <= 0x39:
                return False
            self.schemas += c > 0x20
            i += 1
        return True


@cython.ccall
@cython.exceptval(-1, check=False)
def openings(body: bytes) -> cython.Py_ssize_t:
    """How many brackets and braces open in a text, those in its strings too."""
    if not cython.compiled:
        return body.count(b"[") + body.count(b"{")
    data = cython.declare(cython.p_const_uchar, cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body)))
    i: cython.Py_ssize_t
    found: cython.Py_ssize_t = 0
    for i in range(PyBytes_GET_SIZE(body)):
        found += (data[i] | 0x20) == 0x7B
    return found
