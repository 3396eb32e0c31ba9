"""Requests of the usual form in OpenAI's dialects: how much text is in them?

`UsualRequest.read` looks through the JSON of a request once and adds up its text. It says yes only to what it can
measure as a decoder would: texts, messages and parts of text, tools. All else (pictures, documents, tokens as numbers,
a schema for the answer, a number in a tool that would be written otherwise) is for whoever decodes the whole.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._measure_c import Measure
    from cython.cimports.edge._fast._walk_key import is_key

    from edge._fast._json_strings_c import JSONError
    from edge._fast._measure_c import SAID
else:
    from edge._fast._json_strings import JSONError
    from edge._fast._measure import SAID, Measure
    from edge._fast._walk import is_key

__all__ = ["UsualRequest"]

_DEEPEST = cython.declare(cython.int, 8)
"""Levels of objects and arrays below a top-level value. Whether what is below them counts, a decoder finds out."""
_TOOLS = cython.declare(cython.int, 1)
_SAID = cython.declare(cython.int, SAID)
_CALLS = cython.declare(frozenset, frozenset({"function_call", "function_call_output"}))
_NO_TEXT = cython.declare(frozenset, frozenset({"image_url", "input_image", "file", "input_file", "input_audio"}))


@cython.final
@cython.cclass
class UsualRequest(Measure):  # type: ignore[misc]
    """Reads one request after the other. Of the last one, if `read` said yes, ``messages`` is how many messages and
    calls there are; the rest is as in `Measure`.
    """

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def read(self, body: bytes) -> cython.bint:
        """Whether a request is of the usual form."""
        self._begin_measure(body)
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
                is_key(self, b"messages")
                or is_key(self, b"input")
                or is_key(self, b"prompt")
                or is_key(self, b"instructions")
                or is_key(self, b"query")
                or is_key(self, b"documents")
            ):
                good = self._content(0)
            elif is_key(self, b"tools") or is_key(self, b"functions"):
                # Where both are given, one of them counts, which a decoder finds out.
                good = self._first(_TOOLS) and self._described()
            elif is_key(self, b"response_format") or is_key(self, b"text"):
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
                is_key(self, b"content")
                or is_key(self, b"text")
                or is_key(self, b"arguments")
                or is_key(self, b"name")
                or is_key(self, b"output")
                or is_key(self, b"function")
                or is_key(self, b"tool_calls")
                or is_key(self, b"refusal")
            ):
                good = self._content(depth + 1)
            elif is_key(self, b"type"):
                good = self._kind()
                counts = counts or self._calls
            elif is_key(self, b"role"):
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
        if not self._worded(_SAID):
            return False
        kind: str = self._said
        self._calls = kind in _CALLS
        return kind not in _NO_TEXT
