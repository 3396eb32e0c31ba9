"""Numbers and literals of a JSON text: where one ends.

Functions on the bytes at `data`, of which there are `size`; compiled, `data` is a pointer.
"""

from __future__ import annotations

import re

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from edge._fast._json_strings_c import JSONError
else:
    from edge._fast._json_strings import JSONError

__all__ = ["MAX_NUMBER"]

MAX_NUMBER = 1000
"""Bytes of a number, where nothing else is said."""

# The pure build's way through numbers at C speed; the byte loop below names the reason of what is refused.
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9.eE])")


@cython.cfunc
def _digits_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    while i < stop and 0x30 <= data[i] <= 0x39:
        i += 1
    return i


@cython.cfunc
def number_end(
    data: cython.p_const_uchar, start: cython.Py_ssize_t, size: cython.Py_ssize_t, limit: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """`start` is at a minus sign or a digit; return the index after the number. Looks at `limit` bytes and one."""
    i: cython.Py_ssize_t = start
    j: cython.Py_ssize_t
    stop: cython.Py_ssize_t = min(size, start + limit + 1)
    good: cython.bint = True
    if not cython.compiled:
        match = _NUMBER.match(data, start, stop)
        if match is not None and match.end() - start <= limit:
            return match.end()
    if data[i] == 0x2D:
        i += 1
    j = _digits_end(data, i, stop)
    good = j > i and (j == i + 1 or data[i] != 0x30)
    i = j
    if good and i < stop and data[i] == 0x2E:
        j = _digits_end(data, i + 1, stop)
        good = j > i + 1
        i = j
    if good and i < stop and (data[i] == 0x65 or data[i] == 0x45):
        i += 1
        if i < stop and (data[i] == 0x2B or data[i] == 0x2D):
            i += 1
        j = _digits_end(data, i, stop)
        good = j > i
        i = j
    if i - start > limit:
        raise JSONError(f"number longer than {limit} bytes", start)
    if not good:
        raise JSONError("invalid number", start)
    return i


@cython.cfunc
def literal_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The index after the true, false or null at `i`."""
    c: cython.uchar = data[i]
    if i + 4 <= size:
        if c == 0x74 and data[i + 1] == 0x72 and data[i + 2] == 0x75 and data[i + 3] == 0x65:
            return i + 4
        if c == 0x6E and data[i + 1] == 0x75 and data[i + 2] == 0x6C and data[i + 3] == 0x6C:
            return i + 4
        if (
            c == 0x66
            and i + 5 <= size
            and data[i + 1] == 0x61
            and data[i + 2] == 0x6C
            and data[i + 3] == 0x73
            and data[i + 4] == 0x65
        ):
            return i + 5
    raise JSONError("a value was expected", i)
