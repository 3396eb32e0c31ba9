"""Bodies in chunks (RFC 9112, section 7.1), decoded in place: what is found are spans of the bytes that came.

Strict: nothing is taken that llhttp would refuse in its strict mode. A trailer is odd, which it may be all the same: by
then the body is complete, and only the connection is of no more use. So is an extension whose value is quoted.
"""

from __future__ import annotations

from edge._fast.head_tables import TOKEN_BYTES

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._chunks_c import DATA, END, MORE, ODD
    from cython.cimports.edge._fast._head_words import is_token
else:
    ODD, MORE, DATA, END = -1, 0, 1, 2

__all__ = ["MAX_AROUND", "Chunks"]

MAX_AROUND = 16384
"""Bytes around the pieces of a body, from one to the next: sizes, extensions, line ends."""

_MAX_AROUND = cython.declare(cython.Py_ssize_t, MAX_AROUND)
_MAX_DIGITS = cython.declare(cython.Py_ssize_t, 16)
_TOP = cython.declare(cython.longlong, 1 << 58)
# A size that has this much has no place for another digit.

# What comes next.
_SIZE = cython.declare(cython.Py_ssize_t, 0)
_NAME = cython.declare(cython.Py_ssize_t, 1)
_IN_NAME = cython.declare(cython.Py_ssize_t, 2)
_VALUE = cython.declare(cython.Py_ssize_t, 3)
_IN_VALUE = cython.declare(cython.Py_ssize_t, 4)
_SIZE_LF = cython.declare(cython.Py_ssize_t, 5)
_DATA = cython.declare(cython.Py_ssize_t, 6)
_DATA_CR = cython.declare(cython.Py_ssize_t, 7)
_DATA_LF = cython.declare(cython.Py_ssize_t, 8)
_LAST_CR = cython.declare(cython.Py_ssize_t, 9)
_LAST_LF = cython.declare(cython.Py_ssize_t, 10)
_END = cython.declare(cython.Py_ssize_t, 11)
_ODD = cython.declare(cython.Py_ssize_t, 12)


@cython.final
@cython.cclass
class Chunks:
    """The decoder of one body; `begin` makes it that of the next.

    ``complete``: the last chunk has been read, so that no more of the body can come, whatever `read` says.
    """

    def __init__(self) -> None:
        self.begin()

    @cython.ccall
    def begin(self) -> object:
        self.at = self.end = 0
        self.complete = False
        self._state = _SIZE
        self._digits = self._around = 0
        self._left = 0
        return None

    @cython.ccall
    @cython.exceptval(check=False)
    def read(self, data: bytes, i: cython.Py_ssize_t) -> cython.int:
        """Go on with what came, at `i`.

        1: ``data[at:end]`` is the next piece of the body, and `end` where to go on. 0: nothing is left of `data`.
        2: the body ends at `end`. -1: what comes at `end` is odd, and it stays so.
        """
        size: cython.Py_ssize_t = len(data)
        text: cython.p_const_uchar = data
        state: cython.Py_ssize_t = self._state
        begun: cython.Py_ssize_t = i
        c: cython.uchar
        digit: cython.uchar
        while i < size and state < _END:
            if state == _DATA:
                self.at = i
                if self._left > size - i:
                    self._left -= size - i
                    i = size
                else:
                    i += self._left
                    state = _DATA_CR
                self.end = i
                self._state = state
                self._around = 0
                return DATA
            c = text[i]
            if state == _SIZE:
                if 0x30 <= c <= 0x39:
                    digit = c - 0x30
                elif 0x61 <= (c | 0x20) <= 0x66:
                    digit = (c | 0x20) - 0x57
                elif self._digits == 0:
                    state = _ODD
                    break
                elif c == 0x0D:
                    state = _SIZE_LF
                    i += 1
                    continue
                elif c == 0x3B:
                    state = _NAME
                    i += 1
                    continue
                else:
                    state = _ODD
                    break
                if self._digits >= _MAX_DIGITS or self._left >= _TOP:
                    state = _ODD
                    break
                self._digits += 1
                self._left = self._left * 16 + digit
            elif state == _SIZE_LF:
                if c != 0x0A:
                    state = _ODD
                    break
                self._digits = 0
                if self._left:
                    state = _DATA
                else:
                    self.complete = True
                    state = _LAST_CR
            elif state == _DATA_CR:
                if c != 0x0D:
                    state = _ODD
                    break
                state = _DATA_LF
            elif state == _DATA_LF:
                if c != 0x0A:
                    state = _ODD
                    break
                state = _SIZE
                self._left = 0
            elif state == _LAST_CR:
                if c != 0x0D:
                    state = _ODD
                    break
                state = _LAST_LF
            elif state == _LAST_LF:
                if c != 0x0A:
                    state = _ODD
                    break
                state = _END
            elif _is_token(c):
                if state == _NAME:
                    state = _IN_NAME
                elif state == _VALUE:
                    state = _IN_VALUE
            elif c == 0x3D and state == _IN_NAME:
                state = _VALUE
            elif c == 0x3B and state in (_IN_NAME, _IN_VALUE):
                state = _NAME
            elif c == 0x0D and state in (_IN_NAME, _IN_VALUE):
                state = _SIZE_LF
            else:
                state = _ODD
                break
            i += 1
        self._around += i - begun
        if self._around > _MAX_AROUND and state != _END:
            state = _ODD
        self._state = state
        self.at = self.end = i
        if state == _ODD:
            return ODD
        return END if state == _END else MORE


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is_token(c: cython.uchar) -> cython.bint:
    if cython.compiled:
        return is_token[c] != 0
    return c in TOKEN_BYTES
