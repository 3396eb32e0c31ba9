"""The next of a few words in a body, each of which begins with a quote, in one pass over the quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.libc.string import memchr, memcmp

__all__ = ["MAX_WORDS", "Words"]

MAX_WORDS = 32


@cython.final
@cython.cclass
class Words:
    """Looks for ``words``: 1 to `MAX_WORDS`, of two bytes or more, none the beginning of another. Raises ValueError."""

    def __init__(self, words: Sequence[bytes]) -> None:
        sought: tuple = tuple(words)
        if not 1 <= len(sought) <= MAX_WORDS or not all(len(word) > 1 and word[:1] == b'"' for word in sought):
            raise ValueError(f"1 to {MAX_WORDS} words, each of which begins with a quote")
        if any(one is not other and one.startswith(other) for one in sought for other in sought):
            raise ValueError("no word may be the beginning of another")
        self.words = sought
        self.which = -1
        self._size = len(sought)
        seconds: set = {word[1] for word in sought}
        self._seconds = bytes([code in seconds for code in range(256)])
        self._pattern = re.compile(b'"(?:%b)' % b"|".join([b"(%b)" % re.escape(word[1:]) for word in sought]))

    def find(self, body: bytes, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the first of the words ends that begins at `at` or after it, -1 where there is none. ``which`` is its
        place among them, until the next call.
        """
        if not cython.compiled:
            found = self._pattern.search(body, max(at, 0))
            self.which = found.lastindex - 1 if found is not None else -1  # type: ignore[operator]
            return found.end() if found is not None else -1
        if body is None:
            raise TypeError("a body is bytes")
        data: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body))
        seconds: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(self._seconds))
        end: cython.p_const_uchar = data + PyBytes_GET_SIZE(body)
        here: cython.p_const_uchar = data + max(at, 0)
        word: bytes
        size: cython.Py_ssize_t
        n: cython.Py_ssize_t
        self.which = -1
        while here < end:
            here = cython.cast(cython.p_const_uchar, memchr(here, 0x22, end - here))
            if here == cython.NULL or end - here < 2:
                return -1
            if seconds[here[1]]:
                for n in range(self._size):
                    word = self.words[n]
                    size = PyBytes_GET_SIZE(word)
                    if end - here >= size and memcmp(here, PyBytes_AS_STRING(word), size) == 0:
                        self.which = n
                        return here - data + size
            here += 1
        return -1
