"""Answers of HTTP/1.1 in the form that nearly all have, read where they are: a head that comes in one piece
(``_head.py``), and a body with a length or in chunks (``_chunks.py``).

Whatever is odd goes to a whole parser, which alone judges it: also a head that does not come in one piece, and, in the
middle of a body, a chunk that is not plain. `AnswerReader` then says what the parser is to be fed.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
    from cython.cimports.edge._fast._chunks_c import DATA, END, MORE, Chunks
    from cython.cimports.edge._fast._head_c import ResponseHead
else:
    from edge._fast._chunks import DATA, END, MORE, Chunks
    from edge._fast._head import ResponseHead

__all__ = ["AnswerReader"]

# What comes next.
_HEAD = cython.declare(cython.int, 0)
_SIZED = cython.declare(cython.int, 1)
_CHUNKED = cython.declare(cython.int, 2)
_NOTHING = cython.declare(cython.int, 3)

_A_CHUNK = cython.declare(bytes, b"1\r\nx")
_LINE_END = cython.declare(bytes, b"\r\n")


@cython.cfunc
@cython.inline
def _part(data: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
    """What a slice gives, which costs five times as much."""
    if cython.compiled:
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)
    return data[start:end]


@cython.final
@cython.cclass
class AnswerReader:
    """Reads the answers of one connection, one after the other; `begin` comes before each.

    ``headed``: its head was read. ``whole``: its end was read; ``keeps_alive``: the connection goes on after it, of
    which nothing has come yet. ``odd``: the rest of the answer is a whole parser's. ``before`` brings it to the place
    in the body where this begins, once, and is b"" where the head is to be read yet; ``rest`` is what came since.
    """

    def __init__(self, head: ResponseHead) -> None:
        """`head` may be used by many: what it says counts only until the next `read` of any of them."""
        self._head = head
        self._chunks = Chunks()
        self.begin()

    @cython.ccall
    def begin(self) -> object:
        self.headed = self.whole = self.odd = self.keeps_alive = False
        self.before = self.rest = self._start = self._around = b""
        self._left = 0
        self._state = _HEAD
        return None

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def read(self, data: bytes, parts: list) -> cython.bint:
        """Take what came; whether it was more than what lies in the middle of a body. Pieces of the body are appended
        to `parts`.
        """
        headed: cython.bint = False
        i: cython.Py_ssize_t = 0
        size: cython.Py_ssize_t = len(data)
        if self._state == _HEAD:
            head: ResponseHead = self._head
            i = head.read(data)
            if i <= 0:
                return self._gives_up(b"", data)
            headed = self.headed = True
            self.keeps_alive = head.keeps_alive
            if head.chunked:
                self._start = data[:i]
                self._chunks.begin()
                self._state = _CHUNKED
            else:
                self._left = head.content_length
                self._state = _SIZED
        if self._state == _CHUNKED:
            chunks: Chunks = self._chunks
            what: cython.int = chunks.read(data, i)
            while what == DATA:
                parts.append(_part(data, chunks.at, chunks.end))
                i = chunks.end
                if self._left == 0:
                    self._left = 1
                    self._start += _A_CHUNK
                self._around = b""
                what = chunks.read(data, i)
            if what == MORE:
                if i < size:
                    # Behind a chunk, and good, these two can be nothing else.
                    self._around = _LINE_END if size - i == 2 and i and self._left else self._around + data[i:]
                return headed
            if what != END:
                return self._gives_up(self._start, self._around + data[i:])
            i = chunks.end
        elif self._state == _SIZED:
            if self._left > size - i:
                if i < size:
                    self._left -= size - i
                    parts.append(_part(data, i, size))
                return headed
            if self._left:
                parts.append(_part(data, i, i + self._left))
                i += self._left
        elif self.odd:
            self.before = b""
            self.rest = data
            return True
        self._state = _NOTHING
        self._start = self._around = b""
        self.whole = True
        if i < size:
            self.keeps_alive = False
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _gives_up(self, before: bytes, rest: bytes) -> cython.bint:
        """Never in the middle of a chunk: what is odd is what stands around them."""
        self.odd = True
        self.before = before
        self.rest = rest
        self._state = _NOTHING
        self._start = self._around = b""
        return True
