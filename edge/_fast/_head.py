"""Heads of HTTP/1.1 messages in the form that nearly all have, read in one pass (RFC 9112).

`RequestHead.read` and `ResponseHead.read` say where a head ends, or that it is not of this form: then it may still be a
good one, which a whole parser has to judge. What is taken here, llhttp takes in its strict mode and reads the same in
it. The form:

* lines that end in CRLF, names that are tokens, values without control characters, nothing folded;
* a request: one of `METHODS`, a target that begins with a slash, HTTP/1.1, exactly one Host, none of Expect, TE,
  Upgrade, Trailer and Proxy-Connection;
* an answer: a status from 200 to 599 that has a body, whose length is told;
* at most one Content-Length of at most 18 digits, or Transfer-Encoding: chunked, and not both; at most one Connection,
  of keep-alive or, in an answer, close;
* at most so many fields, bytes, and bytes of target: whoever has the limits refuses what is beyond.

A head is read over and over again into the same object, and knows where its parts are in the bytes: objects are made of
those that are asked for.
"""

from __future__ import annotations

import re

from edge._fast.head_tables import METHODS

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._head_fields_c import HOST, Head
    from cython.cimports.edge._fast._head_words import method_of, method_size, target_stop, value_stop
    from cython.cimports.libc.string import memcmp
else:
    from edge._fast._head_fields import HOST, Head

__all__ = ["MORE", "ODD", "RequestHead", "ResponseHead"]

ODD, MORE = -1, 0
"""What `read` says of a head that is not of the common form, and of one that is not complete."""

_ODD = cython.declare(cython.Py_ssize_t, -1)
_MORE = cython.declare(cython.Py_ssize_t, 0)
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_REQUEST = re.compile(rb"(GET|HEAD|POST|OPTIONS|PUT|PATCH|DELETE) (/[\x21\x22\x24-\x7e]*) HTTP/1\.1\r\n")
_ANSWER = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_PART_OF_ANSWER = re.compile(rb"[2-5]?[0-9]{0,2}|[2-5][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?\r?")


@cython.final
@cython.cclass
class RequestHead(Head):  # type: ignore[misc]
    """The head of a request. ``method`` is a place in `METHODS`."""

    def __init__(self, max_fields: int = 100, max_bytes: int = 32768, max_target: int = 8192) -> None:
        Head.__init__(self, max_fields, max_bytes)
        self._of_request = True
        self._max_target = max_target
        self.method = 0
        self.target_at = self.target_end = 0

    @cython.ccall
    @cython.exceptval(-1, check=True)
    def read(self, data: bytes, start: cython.Py_ssize_t = 0, seen: cython.Py_ssize_t = 0) -> cython.Py_ssize_t:
        """Where the head that begins at `start` ends, `MORE` if it is not complete, `ODD` if it is not of the common
        form.

        `seen` is the size that `data` had when it was called `MORE`.
        """
        begun: cython.Py_ssize_t = self._begin(data, start, seen)
        if begun <= 0:
            return begun
        size: cython.Py_ssize_t = len(data)
        i: cython.Py_ssize_t
        end: cython.Py_ssize_t
        if cython.compiled:
            text: cython.p_const_uchar = self._text
            self.method = method_of(text + start, size - start)
            i = start + method_size(self.method) + 1
            if not self.method or text[i] != 0x2F:
                return self._begun(start, size)
            self.target_at = i
            i = target_stop(text, i, size)
            self.target_end = i
            if size - i < 11 or memcmp(text + i, b" HTTP/1.1\r\n", 11) != 0:
                return self._begun(start, size)
            i += 11
        else:
            line = _REQUEST.match(data, start)
            if line is None:
                return self._begun(start, size)
            self.method = METHODS.index(line[1])
            self.target_at, self.target_end = line.span(2)
            i = line.end()
        if self.target_end - self.target_at > self._max_target:
            return _ODD
        end = self._fields(i, size)
        if end > 0 and not self.place[HOST]:
            return _ODD
        if end == 0 and size - start > self._max_bytes:
            return _ODD
        return end

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def _begun(self, start: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The same of a request whose line is not complete, or not of the common form."""
        if size - start > self._max_target + 20:
            return _ODD
        method, space, rest = self._data[start:].partition(b" ")
        target, more, version = rest.partition(b" ")
        if not space:
            return _MORE if any(one.startswith(method) for one in METHODS) else _ODD
        if method not in METHODS or (target and not _TARGET.fullmatch(target)) or (more and not target):
            return _ODD
        return _MORE if b"HTTP/1.1\r\n".startswith(version) else _ODD

    @property
    def target(self) -> bytes:
        return self._part(self.target_at, self.target_end)


@cython.final
@cython.cclass
class ResponseHead(Head):  # type: ignore[misc]
    """The head of an answer that has a body. The answer to a HEAD has none: who asked for one does not read it so."""

    def __init__(self, max_fields: int = 200, max_bytes: int = 65536) -> None:
        Head.__init__(self, max_fields, max_bytes)
        self.status = 0

    @cython.ccall
    @cython.exceptval(-1, check=True)
    def read(self, data: bytes, start: cython.Py_ssize_t = 0, seen: cython.Py_ssize_t = 0) -> cython.Py_ssize_t:
        """As that of `RequestHead`. An answer that ends with its connection is not of the common form."""
        begun: cython.Py_ssize_t = self._begin(data, start, seen)
        if begun <= 0:
            return begun
        size: cython.Py_ssize_t = len(data)
        i: cython.Py_ssize_t
        end: cython.Py_ssize_t
        if cython.compiled:
            text: cython.p_const_uchar = self._text
            i = start + 12
            if size - start < 14 or memcmp(text + start, b"HTTP/1.1 ", 9) != 0:
                return self._begun(start, size)
            if not (0x32 <= text[i - 3] <= 0x35 and 0x30 <= text[i - 2] <= 0x39 and 0x30 <= text[i - 1] <= 0x39):
                return _ODD
            self.status = (text[i - 3] - 0x30) * 100 + (text[i - 2] - 0x30) * 10 + (text[i - 1] - 0x30)
            if text[i] == 0x20:
                i = value_stop(text, i, size)
            if size - i < 2 or text[i] != 0x0D or text[i + 1] != 0x0A:
                return self._begun(start, size)
            i += 2
        else:
            line = _ANSWER.match(data, start)
            if line is None:
                return self._begun(start, size)
            self.status = int(line[1])
            i = line.end()
        if self.status == 204 or self.status == 304:
            return _ODD
        end = self._fields(i, size)
        if end > 0 and not self.chunked and self.content_length < 0:
            return _ODD
        if end == 0 and size - start > self._max_bytes:
            return _ODD
        return end

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def _begun(self, start: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The same of an answer whose line is not complete, or not of the common form."""
        if size - start > self._max_bytes:
            return _ODD
        line: bytes = self._data[start:]
        if b"HTTP/1.1 ".startswith(line):
            return _MORE
        return _MORE if line.startswith(b"HTTP/1.1 ") and _PART_OF_ANSWER.fullmatch(line, 9) else _ODD
