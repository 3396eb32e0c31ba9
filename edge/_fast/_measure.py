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
else:
    from edge._fast._json_strings import hex4
    from edge._fast._walk import Walk

__all__ = ["Measure", "openings"]

_MOST_DIGITS = cython.declare(cython.Py_ssize_t, 18)


@cython.cclass
class Measure(Walk):  # type: ignore[misc]
    """``text`` is how many bytes of UTF-8 the texts have that were measured, ``tools`` how many tools there are, and
    ``schemas`` how many bytes their JSON has without spaces. What returns whether it is so says no to what a decoder
    has to look at.
    """

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _measure(self) -> cython.bint:
        """A text."""
        start: cython.Py_ssize_t = self._at + 1  # type: ignore[has-type]
        end: cython.Py_ssize_t = self._string_end(start)
        if end >= self._size:
            return False
        saved: cython.Py_ssize_t = self._saved(start, end)
        self.text += end - start - saved
        self._at = end + 1
        return saved >= 0

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _saved(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """How many bytes more than the text a string takes, for its escapes; -1 for half of a character."""
        saved: cython.Py_ssize_t = 0
        code: cython.Py_ssize_t
        i: cython.Py_ssize_t = self._escape(start, end)
        while i >= 0:
            if self._data[i + 1] != 0x75:
                saved += 1
                i = self._escape(i + 2, end)
                continue
            code = hex4(self._data, i + 2, end)
            if 0xD800 <= code < 0xE000:
                # Two of them are one character, of four bytes.
                if code >= 0xDC00 or i + 12 > end or self._data[i + 6] != 0x5C or self._data[i + 7] != 0x75:
                    return -1
                if not 0xDC00 <= hex4(self._data, i + 8, end) < 0xE000:
                    return -1
                saved += 8
                i += 6
            else:
                saved += 5 if code < 0x80 else 4 if code < 0x800 else 3
            i = self._escape(i + 6, end)
        return saved

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _escape(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the next backslash stands, -1 for nowhere."""
        if cython.compiled:
            if start >= end:
                return -1
            found = cython.declare(cython.p_const_uchar)
            found = cython.cast(cython.p_const_uchar, memchr(self._data + start, 0x5C, end - start))
            return -1 if found == cython.NULL else found - self._data
        return self._data.find(b"\\", start, end)

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
        i: cython.Py_ssize_t = self._at
        if not self._skip():
            return False
        end: cython.Py_ssize_t = self._at
        close: cython.Py_ssize_t
        digits: cython.Py_ssize_t = 0
        c: cython.uchar
        while i < end:
            c = self._data[i]
            if c == 0x22:
                close = self._string_end(i + 1)
                if not self._plainly(i + 1, close):
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

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _plainly(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether all escapes of a string are those that it cannot do without."""
        i: cython.Py_ssize_t = self._escape(start, end)
        while i >= 0:
            if self._data[i + 1] == 0x75 or self._data[i + 1] == 0x2F:
                return False
            i = self._escape(i + 2, end)
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
