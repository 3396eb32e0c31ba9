"""Requests of the usual form: how much text is in them?

`UsualRequest.read` looks through the JSON of a request in OpenAI's dialects once and adds up its text. It says yes only
to what it can measure as a decoder would: texts, messages and parts of text, tools. All else (pictures, documents,
tokens as numbers, a schema for the answer, a number in a tool that would be written otherwise) is for whoever decodes
the whole.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.edge._fast._json_strings_c import hex4
    from cython.cimports.edge._fast._walk_c import Walk
    from cython.cimports.libc.string import memchr, memcmp

    from edge._fast._json_strings_c import JSONError
else:
    from edge._fast._json_strings import JSONError, hex4
    from edge._fast._walk import Walk

__all__ = ["UsualRequest", "openings"]

_DEEPEST = cython.declare(cython.int, 8)
"""Levels of objects and arrays below a top-level value. Whether what is below them counts, a decoder finds out."""
_MOST_DIGITS = cython.declare(cython.Py_ssize_t, 18)
_TOOLS = cython.declare(cython.int, 1)
_CALLS = cython.declare(frozenset, frozenset({"function_call", "function_call_output"}))
_NO_TEXT = cython.declare(frozenset, frozenset({"image_url", "input_image", "file", "input_file", "input_audio"}))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is(walk: Walk, name: bytes) -> cython.bint:
    """Whether that is the key at which one is. Most are told by their length."""
    if cython.compiled:
        size: cython.Py_ssize_t = walk._key_end - walk._key_at
        if PyBytes_GET_SIZE(name) != size:
            return False
        return memcmp(walk._data + walk._key_at, PyBytes_AS_STRING(name), size) == 0
    return walk._data[walk._key_at : walk._key_end] == name


@cython.final
@cython.cclass
class UsualRequest(Walk):  # type: ignore[misc]
    """Reads one request after the other. Of the last one, if `read` said yes: ``text`` is how many bytes of UTF-8 its
    texts have, ``messages`` how many messages and calls there are, ``tools`` how many tools, whose JSON without spaces
    has ``schemas`` bytes.
    """

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def read(self, body: bytes) -> cython.bint:
        """Whether a request is of the usual form."""
        self.text = self.messages = self.tools = self.schemas = 0
        self._begin(body)
        try:
            return self._read()
        except JSONError:
            return False
        finally:
            self._end()

    def told(self) -> tuple:
        """All that it says."""
        return self.text, self.messages, self.tools, self.schemas

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _read(self) -> cython.bint:
        good: cython.bint
        c: cython.int
        if self._next() != 0x7B:
            return False
        self._at += 1
        if self._next() == 0x7D:
            self._at += 1
            return self._next() < 0
        while True:
            if not self._key():
                return False
            if (
                _is(self, b"messages")
                or _is(self, b"input")
                or _is(self, b"prompt")
                or _is(self, b"instructions")
                or _is(self, b"query")
                or _is(self, b"documents")
            ):
                good = self._content(0)
            elif _is(self, b"tools") or _is(self, b"functions"):
                # Where both are given, one of them counts, which a decoder finds out.
                good = self._first(_TOOLS) and self._described()
            elif _is(self, b"response_format") or _is(self, b"text"):
                good = self._null()
            else:
                good = self._skip()
            if not good:
                return False
            c = self._more(0x7D)
            if c <= 0:
                return c == 0 and self._next() < 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _content(self, depth: cython.int) -> cython.bint:
        """What somebody said: a text, a message, a part, or a list of them."""
        c: cython.int = self._next()
        if c == 0x22:
            return self._measure()
        if c == 0x7B:
            return self._part(depth)
        if c != 0x5B:
            return self._skip()
        self._at += 1
        if depth >= _DEEPEST:
            return False
        c = self._next()
        if c == 0x5D:
            self._at += 1
            return True
        if c != 0x22 and c != 0x7B and c != 0x5B and c != 0x6E:
            return False  # of numbers, which are tokens
        while True:
            if not self._content(depth + 1):
                return False
            c = self._more(0x5D)
            if c <= 0:
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _part(self, depth: cython.int) -> cython.bint:
        """A message, or a part of one."""
        counts: cython.bint = False
        good: cython.bint
        c: cython.int
        self._at += 1
        if depth >= _DEEPEST:
            return False
        if self._next() == 0x7D:
            self._at += 1
            return True
        while True:
            if not self._key():
                return False
            if (
                _is(self, b"content")
                or _is(self, b"text")
                or _is(self, b"arguments")
                or _is(self, b"name")
                or _is(self, b"output")
                or _is(self, b"function")
                or _is(self, b"tool_calls")
                or _is(self, b"refusal")
            ):
                good = self._content(depth + 1)
            elif _is(self, b"type"):
                good = self._kind()
                counts = counts or self._calls
            elif _is(self, b"role"):
                counts = True
                good = self._skip()
            else:
                good = self._skip()
            if not good:
                return False
            c = self._more(0x7D)
            if c <= 0:
                self.messages += counts
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _kind(self) -> cython.bint:
        """What kind of part it is: false for one that is no text."""
        self._calls = False
        if self._next() != 0x22:
            return self._skip()
        if not self._word():
            return False
        kind: str = self._said
        self._calls = kind in _CALLS
        return kind not in _NO_TEXT

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
