"""Lines of a log, or of a head, written piece by piece into one buffer: there is no object for a number."""

from __future__ import annotations

import json

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_Resize
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
    from cython.cimports.cpython.long import PyLong_AsLongLongAndOverflow
    from cython.cimports.cpython.unicode import PyUnicode_AsUTF8AndSize
    from cython.cimports.edge._fast._bytes import plain_run
    from cython.cimports.edge._fast._numbers_c import put_hundredths, put_usd
    from cython.cimports.libc.string import memcpy, memmove

    from edge._fast._numbers_c import hundredths, usd
else:
    from edge._fast._numbers import hundredths, usd

__all__ = ["Lines"]

FIRST = cython.declare(cython.Py_ssize_t, 16384)
"""Bytes that the buffer has at first."""
LARGEST = cython.declare(cython.longlong, 10**18)
"""Of costs, in 1e-12 USD. Beyond it, Python's own whole numbers count."""
NUMBER = cython.declare(cython.Py_ssize_t, 24)
"""Bytes that a whole number of 64 bits takes at most."""


@cython.final
@cython.cclass
class Lines:
    """``size`` bytes in ``count`` whole lines, each with its line feed, and what there is of one more."""

    def __init__(self) -> None:
        self.size = self.count = 0
        self._buffer = bytearray(FIRST) if cython.compiled else bytearray()
        if cython.compiled:
            self._data = PyByteArray_AS_STRING(self._buffer)
            self._end = 0
            self._room = FIRST

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _grow(self, size: cython.Py_ssize_t) -> cython.int:
        while self._room < self._end + size:
            self._room *= 2
        PyByteArray_Resize(self._buffer, self._room)
        self._data = PyByteArray_AS_STRING(self._buffer)
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1, check=False)
    def _put(self, data: cython.p_const_char, size: cython.Py_ssize_t) -> cython.int:
        if self._end + size > self._room:
            self._grow(size)
        memcpy(self._data + self._end, data, size)
        self._end += size
        return 0

    def add(self, data: bytes) -> None:
        """These bytes, as they are."""
        if cython.compiled:
            size: cython.Py_ssize_t = PyBytes_GET_SIZE(data)
            self._put(PyBytes_AS_STRING(data), size)
        else:
            self._buffer += data

    def text(self, value: str) -> None:
        """A text as it stands between the quotes of a JSON string."""
        if cython.compiled:
            size: cython.Py_ssize_t = 0
            # A str may hold halves of characters, which UTF-8 cannot say.
            if value.isascii():
                data = cython.declare(cython.p_const_char, PyUnicode_AsUTF8AndSize(value, cython.address(size)))
                if plain_run(cython.cast("const unsigned char *", data), size) == size:
                    self._put(data, size)
                    return
        self.add(json.dumps(value)[1:-1].encode())

    @cython.cdivision(True)
    def whole(self, value: cython.longlong) -> None:
        """A whole number of 64 bits."""
        if value < 0 or not cython.compiled:
            self.add(b"%d" % value)
            return
        text = cython.declare(cython.char[24])
        at: cython.Py_ssize_t = NUMBER
        while value or at == NUMBER:
            at -= 1
            text[at] = ord("0") + value % 10
            value //= 10
        self._put(text + at, NUMBER - at)

    def hundredths(self, value: cython.double) -> None:
        """A number with two decimals, rounded."""
        if cython.compiled and 0 <= value < 1e15:
            text = cython.declare(cython.char[24])
            size: cython.Py_ssize_t = put_hundredths(text + NUMBER, value)
            self._put(text + NUMBER - size, size)
        else:
            self.add(hundredths(value))

    def usd(self, cost: object) -> None:
        """A cost in 1e-12 USD, which is not negative, as exact decimal text."""
        if cython.compiled:
            over: cython.int = 0
            whole: cython.longlong = PyLong_AsLongLongAndOverflow(cost, cython.address(over))
            if over == 0 and 0 <= whole < LARGEST:
                text = cython.declare(cython.char[32])
                took: cython.Py_ssize_t = put_usd(text + 32, whole)
                self._put(text + 32 - took, took)
                return
        self.add(usd(cost))

    def field(self, name: bytes, value: bytes) -> None:
        """The line of a field (RFC 9112, section 5)."""
        if name is None or value is None:
            raise TypeError("a field is a pair of bytes")
        if not cython.compiled:
            self._buffer += b"%b: %b\r\n" % (name, value)
            return
        size: cython.Py_ssize_t = PyBytes_GET_SIZE(name)
        more: cython.Py_ssize_t = PyBytes_GET_SIZE(value)
        if self._end + size + more + 4 > self._room:
            self._grow(size + more + 4)
        to: cython.p_char = self._data + self._end
        memcpy(to, PyBytes_AS_STRING(name), size)
        to += size
        to[0] = 0x3A
        to[1] = 0x20
        memcpy(to + 2, PyBytes_AS_STRING(value), more)
        to += more + 2
        to[0] = 0x0D
        to[1] = 0x0A
        self._end += size + more + 4

    @cython.cdivision(True)
    def digits(self, value: cython.longlong, count: cython.int) -> None:
        """The last `count` digits, of which there are at most 18, of a number that is not negative."""
        if not cython.compiled:
            self._buffer += str(value).zfill(count)[-count:].encode()
            return
        text = cython.declare(cython.char[24])
        at: cython.Py_ssize_t = NUMBER
        while at > NUMBER - count:
            at -= 1
            text[at] = ord("0") + value % 10
            value //= 10
        self._put(text + at, count)

    def end(self) -> None:
        """The end of a line."""
        self.add(b"\n")
        self.count += 1
        self.size = self._end if cython.compiled else len(self._buffer)

    def unended(self) -> int:
        """Bytes of the line that has not ended."""
        return self._end - self.size if cython.compiled else len(self._buffer) - self.size

    def drop(self) -> None:
        """Take what there is of a line that has not ended back."""
        if cython.compiled:
            self._end = self.size
        else:
            del self._buffer[self.size :]

    def back(self) -> bytes:
        """What there is of a line that has not ended, which is taken back."""
        if cython.compiled:
            line = PyBytes_FromStringAndSize(self._data + self.size, self._end - self.size)
            self._end = self.size
            return line
        line = bytes(self._buffer[self.size :])
        del self._buffer[self.size :]
        return line

    def take(self) -> bytes:
        """All whole lines; they are here no longer."""
        if cython.compiled:
            lines = PyBytes_FromStringAndSize(self._data, self.size)
            memmove(self._data, self._data + self.size, self._end - self.size)
            self._end -= self.size
        else:
            lines = bytes(self._buffer[: self.size])
            del self._buffer[: self.size]
        self.size = self.count = 0
        return lines
