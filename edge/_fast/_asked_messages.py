"""Messages requests of the usual form: how much text is in them?

`UsualMessages.read` looks through the JSON of a request once, as `edge._fast._asked` does in OpenAI's dialects.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._measure_c import Measure, escape, saved
    from cython.cimports.edge._fast._walk_key import is_key

    from edge._fast._json_strings_c import JSONError
    from edge._fast._measure_c import BILLING, LEADING, SAID
    from edge._fast._skeleton_c import MOST_GAPS, TEXT
else:
    from edge._fast._json_strings import JSONError
    from edge._fast._measure import BILLING, LEADING, SAID, Measure, escape, saved
    from edge._fast._skeleton import MOST_GAPS, TEXT
    from edge._fast._walk import is_key

__all__ = ["UsualMessages"]

_DEEPEST = cython.declare(cython.int, 8)
"""Levels of blocks. Whether what is below them counts, a decoder finds out."""
_TOOLS = cython.declare(cython.int, 1)
_BILLING = cython.declare(bytes, BILLING)
_TEXT = cython.declare(cython.int, TEXT)
_LEADING = cython.declare(cython.int, LEADING)
_SAID = cython.declare(cython.int, SAID)
_MOST_GAPS = cython.declare(cython.int, MOST_GAPS)
_WITHIN = cython.declare(frozenset, frozenset({"tool_result", "search_result", "compaction"}))
"""Blocks that are what is in them."""
_THINKS = cython.declare(frozenset, frozenset({"enabled", "adaptive"}))


@cython.final
@cython.cclass
class UsualMessages(Measure):  # type: ignore[misc]
    """Reads one request after the other. Of the last one, if `read` said yes, ``messages`` is how many messages and
    blocks there are, ``images`` how many pictures, ``model`` its model, and ``thinks`` whether that is to think; the
    rest is as in `Measure`.
    """

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def read(self, body: bytes) -> cython.bint:
        """Whether a request is of the usual form."""
        self._dropped = False
        self.model = ""
        self._begin_measure(body)
        try:
            return self._read()
        except JSONError:
            return False
        finally:
            self._end()

    def told(self) -> tuple:
        """All that it says."""
        return self.text, self.messages, self.tools, self.schemas, self.images, self.thinks, self.model

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _read(self) -> cython.bint:
        good: cython.bint
        c: cython.int
        if self._next() != 0x7B:
            return False
        self._at += 1
        while True:
            if not self._key():
                return False
            if is_key(self, b"messages"):
                good = self._messages()
            elif is_key(self, b"system"):
                good = self._system()
            elif is_key(self, b"tools"):
                good = self._first(_TOOLS) and self._described()
            elif is_key(self, b"model"):
                if self._next() != 0x22 or not self._worded(_TEXT):
                    return False
                self.model = self._said
                good = True
            elif is_key(self, b"thinking"):
                good = self._thinking()
            elif is_key(self, b"output_config"):
                good = self._null()
            else:
                good = self._skip()
            if not good:
                return False
            c = self._more(0x7D)
            if c <= 0:
                return c == 0 and self.model != "" and self._next() < 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _messages(self) -> cython.bint:
        """A list of them: of each, its content counts."""
        c: cython.int
        if self._next() != 0x5B:
            return False
        self._at += 1
        if self._next() == 0x5D:
            self._at += 1
            return True
        while True:
            if self._next() != 0x7B:
                return False
            self._at += 1
            self.messages += 1
            while True:
                if not self._key():
                    return False
                if not (self._blocks(0, False) if is_key(self, b"content") else self._skip()):
                    return False
                c = self._more(0x7D)
                if c < 0:
                    return False
                if c == 0:
                    break
            c = self._more(0x5D)
            if c <= 0:
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _system(self) -> cython.bint:
        """A text, or a list of blocks; at its beginning Claude Code has a line that no model is shown."""
        return self._null() if self._next() == 0x6E else self._blocks(0, True)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _blocks(self, depth: cython.int, leads: cython.bint) -> cython.bint:
        """A text, or a list of blocks. `leads`: a line of Claude Code's at the beginning counts nothing."""
        c: cython.int = self._next()
        if c == 0x22:
            return self._measure() if not leads else self._measure_rest() >= 0
        if c != 0x5B or depth >= _DEEPEST:
            return False
        self._at += 1
        if self._next() == 0x5D:
            self._at += 1
            return True
        while True:
            if self._next() != 0x7B or not self._block(depth, leads):
                return False
            leads = False
            c = self._more(0x5D)
            if c <= 0:
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _block(self, depth: cython.int, leads: cython.bint) -> cython.bint:
        """What counts depends on its kind, which may be told at its end."""
        text: cython.longlong = self.text  # type: ignore[has-type]
        messages: cython.longlong = self.messages  # type: ignore[has-type]
        images: cython.longlong = self.images  # type: ignore[has-type]
        schemas: cython.longlong = self.schemas  # type: ignore[has-type]
        said: cython.longlong = 0
        thought: cython.longlong = 0
        data: cython.longlong = 0
        given: cython.longlong = 4  # null, as all that is not given
        named: cython.longlong = 4
        texts: cython.int = 0
        inner: cython.bint = False
        dropped: cython.bint = False
        kind: str = ""
        good: cython.bint
        c: cython.int
        self._at += 1
        while True:
            if not self._key():
                return False
            if is_key(self, b"type"):
                if not self._text():
                    return False
                kind = self._said
                good = True
            elif is_key(self, b"text"):
                texts += 1
                said = self._bytes(leads)
                dropped = leads and self._dropped
                good = said >= 0
            elif is_key(self, b"thinking"):
                texts += 1
                thought = self._bytes(False)
                good = thought >= 0
            elif is_key(self, b"data"):
                texts += 1
                data = self._bytes(False)
                good = data >= 0
            elif is_key(self, b"content"):
                inner = True
                good = self._blocks(depth + 1, False)
            elif is_key(self, b"input"):
                self.steady = False
                good = self._compact()
                given = self.schemas - schemas  # type: ignore[has-type]
                self.schemas = schemas
            elif is_key(self, b"name"):
                if not self._text():
                    return False
                named = len(self._said)
                good = True
            else:
                good = self._skip()
            if not good:
                return False
            c = self._more(0x7D)
            if c < 0:
                return False
            if c == 0:
                break
        # Which of several texts counts is a matter of what they say.
        if inner or texts > 1 or kind in _WITHIN or kind == "tool_use" or (texts and kind == "image"):
            self.steady = False
        if dropped:
            if kind != "text" or inner:
                return False
            if said == 0:
                return True  # there is nothing but that line
        self.messages += 1  # type: ignore[has-type]
        if kind in _WITHIN:
            return True
        if inner:
            # What is in it counts in these kinds alone.
            self.text, self.messages, self.images = text, messages + 1, images
        if kind == "image":
            self.images += 1
        elif kind == "tool_use":
            self.messages += 1
            self.text += given + named
        else:
            self.text += said if said > 0 else thought if thought > 0 else data
        return kind != "document" and kind != ""

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _bytes(self, leads: cython.bint) -> cython.longlong:
        """How long a text is, which is not added yet; 0 for null, -1 for anything else."""
        before: cython.longlong = self.text
        if self._next() != 0x22:
            return 0 if self._null() else -1
        if leads:
            if self._measure_rest() < 0:
                return -1
        elif not self._measure():
            return -1
        size: cython.longlong = self.text - before
        self.text = before
        return size

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def _measure_rest(self) -> cython.int:
        """A text, without the first line if that is Claude Code's; ``_dropped`` says whether it was."""
        i: cython.Py_ssize_t
        begin: cython.Py_ssize_t = self._at
        self._dropped = False
        if not self._measure():
            return -1
        if self._gaps <= _MOST_GAPS:
            self._kinds[self._gaps - 1] = _LEADING
        end: cython.Py_ssize_t = self._at - 1
        start: cython.Py_ssize_t = begin + 1
        size: cython.Py_ssize_t = len(_BILLING)
        if end - start < size or self._body[start : start + size] != _BILLING:
            return 0
        self._dropped = True
        self.steady = False
        self.text -= end - start - saved(self._data, start, end)
        i = escape(self._data, start, end)
        while i >= 0:
            if self._data[i + 1] == 0x6E:
                self.text += end - i - 2 - saved(self._data, i + 2, end)
                break
            i = escape(self._data, i + 2, end)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _thinking(self) -> cython.bint:
        """Whether, and how much, a model is to think."""
        c: cython.int
        if self._next() != 0x7B:
            return self._null()
        self._at += 1
        while True:
            if not self._key():
                return False
            if is_key(self, b"type"):
                if not self._text():
                    return False
                self.thinks = self._said in _THINKS
            elif not self._skip():
                return False
            c = self._more(0x7D)
            if c <= 0:
                return c == 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _text(self) -> cython.bint:
        """A string in ASCII without escapes."""
        return self._next() == 0x22 and self._worded(_SAID)
