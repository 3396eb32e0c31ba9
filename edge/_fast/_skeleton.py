"""Texts that are alike: what one has beside its gaps, by which the next is known without being taken apart.

A gap is where the next one may have another value of the same kind: a string, a whole number, or a count, which has a
place of its own. All else has to be the same byte by byte, so what was found out of the form of the first text holds
for the next: it is JSON of the same keys, in the same order. No value of a gap is kept.
"""

from __future__ import annotations

import re

from edge._fast.answer_forms import PLACES

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING
    from cython.cimports.edge._fast._bytes import plain_run
    from cython.cimports.edge._fast._json_strings_c import text_end
    from cython.cimports.edge._fast._same import same
else:
    from edge._fast._json_strings import text_end

__all__ = ["MOST_GAPS", "TEXT", "WHOLE", "Skeleton"]

MOST_GAPS = 128
TEXT, WHOLE = -1, -2
"""The kinds of gaps: what stands between the quotes of a string; digits alone. A count's is its place."""
_LONGEST = cython.declare(cython.Py_ssize_t, 18)
_LONGEST_COUNT = cython.declare(cython.Py_ssize_t, 9)
_TEXT = cython.declare(cython.int, TEXT)
_PLAIN = re.compile(rb'[^"\\\x00-\x1f\x80-\xff]*')


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _same(
    data: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    fixed: cython.p_const_uchar,
    start: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
) -> cython.bint:
    """Whether `size` bytes at `at` are those at `start` of what is the same in all."""
    if cython.compiled:
        return same(data + at, fixed + start, size)
    return data[at : at + size] == fixed[start : start + size]


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _bytes_of(body: bytes) -> cython.p_const_uchar:
    return cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body)) if cython.compiled else body


@cython.final
@cython.cclass
class Skeleton:
    """Made by a `Walk`. ``counts`` are those of the text that it was made of, and then those of the last that `fits`,
    by their places, as ``ends`` are where its gaps end; ``tier``, ``speed`` and ``geo`` are its words, which are the
    same in all.
    """

    def __init__(self) -> None:
        self.fixed = self.tier = self.speed = self.geo = None
        self.gaps = 0
        if not cython.compiled:
            self.sizes, self.kinds, self.counts = [0] * (MOST_GAPS + 1), [0] * MOST_GAPS, [-1] * PLACES
            self.ends = [0] * MOST_GAPS

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fits(self, body: bytes) -> cython.bint:
        """Whether `body` is another such text. Raises JSONError where a string of it is none."""
        data: cython.p_const_uchar = _bytes_of(body)
        fixed: cython.p_const_uchar = _bytes_of(self.fixed)
        size: cython.Py_ssize_t = len(body)
        at: cython.Py_ssize_t = 0
        start: cython.Py_ssize_t = 0
        part: cython.Py_ssize_t
        begun: cython.Py_ssize_t
        count: cython.longlong
        i: cython.int
        kind: cython.int
        for i in range(self.gaps):
            part = self.sizes[i]
            if at + part >= size or not _same(data, at, fixed, start, part):
                return False
            at += part
            start += part
            begun = at
            kind = self.kinds[i]
            if kind == _TEXT:
                if cython.compiled:
                    at += plain_run(data + at, size - at)
                else:
                    at = _PLAIN.match(data, at).end()  # type: ignore[union-attr]
                if at >= size or data[at] != 0x22:
                    at = text_end(data, at, size, size)
                self.ends[i] = at
                continue
            count = 0
            while at < size and 0x30 <= data[at] <= 0x39 and at - begun <= _LONGEST:
                count = count * 10 + (data[at] - 0x30)
                at += 1
            if at - begun > (_LONGEST_COUNT if kind >= 0 else _LONGEST):
                return False
            if at == begun or (data[begun] == 0x30 and at - begun > 1):
                return False
            self.ends[i] = at
            if kind >= 0:
                self.counts[kind] = count
        part = self.sizes[self.gaps]
        return size - at == part and _same(data, at, fixed, start, part)
