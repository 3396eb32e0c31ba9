"""What makes a chunk of a stream worth decoding, found in one pass over its bytes."""

from __future__ import annotations

import re

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.libc.string import memchr, memcmp

__all__ = ["chunk_marks"]

_MARKS = re.compile(rb'"(?=(error")|(usage")|(finish_reason"\s*:\s*"|index"\s*:\s*[1-9]))')


@cython.ccall
@cython.exceptval(-1, check=False)
def chunk_marks(data: bytes) -> cython.int:
    """The sum of 1 where ``"error"`` stands somewhere in a chunk, 2 for ``"usage"``, 4 for the end of a choice (a
    ``finish_reason`` that is a string) or another choice than the first (an ``index`` that begins with 1 to 9).
    """
    found: cython.int = 0
    if not cython.compiled:
        for match in _MARKS.finditer(data):
            found |= 1 << (match.lastindex - 1)  # type: ignore[operator]
        return found
    if data is None:
        raise TypeError("a chunk is bytes")
    at: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(data))
    end: cython.p_const_uchar = at + PyBytes_GET_SIZE(data)
    c: cython.uchar
    while True:
        at = cython.cast(cython.p_const_uchar, memchr(at, 0x22, end - at))
        if at == cython.NULL:
            return found
        at += 1
        if end - at < 6:
            return found
        c = at[0]
        if c == 0x65:
            if memcmp(at, b'error"', 6) == 0:
                found |= 1
        elif c == 0x75:
            if memcmp(at, b'usage"', 6) == 0:
                found |= 2
        elif c == 0x66:
            if end - at >= 14 and memcmp(at, b'finish_reason"', 14) == 0 and _value(at + 14, end) == 0x22:
                found |= 4
        elif c == 0x69 and memcmp(at, b'index"', 6) == 0 and 0x31 <= _value(at + 6, end) <= 0x39:
            found |= 4


@cython.cfunc
@cython.exceptval(check=False)
def _value(at: cython.p_const_uchar, end: cython.p_const_uchar) -> cython.int:
    """The byte with which a value begins whose key ended before `at`, 0 where none does. Compiled only."""
    while at < end and (at[0] == 0x20 or 0x09 <= at[0] <= 0x0D):
        at += 1
    if at >= end or at[0] != 0x3A:
        return 0
    at += 1
    while at < end and (at[0] == 0x20 or 0x09 <= at[0] <= 0x0D):
        at += 1
    return at[0] if at < end else 0
