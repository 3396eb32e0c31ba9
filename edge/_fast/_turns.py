"""Where the first turn of a conversation ends, in the JSON that a scan has found sound."""

from __future__ import annotations

import re

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING
    from cython.cimports.libc.string import memchr, memcmp

__all__ = ["first_turn_end"]

# The pure build's way to the next byte that matters.
_SIGNS = re.compile(rb'["[{\]}]')
_VALUE = re.compile(rb'[ \t\n\r]*:[ \t\n\r]*"')


@cython.ccall
@cython.exceptval(-1, check=False)
def first_turn_end(
    body: bytes, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, block: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """The end of the first turn in the value ``body[start:stop]``, which is a list of messages, or what stands for it.

    That is the end of the first message in the list that is somebody's: whose role is neither ``system`` nor
    ``developer``; of it, and of what is no list, the first `block` bytes. `stop` may be before the value's end.
    """
    if body is None:
        raise TypeError("a body is bytes")
    data: cython.p_const_uchar = _bytes_of(body)
    stop = min(stop, len(body))
    if start < 0 or start >= stop or data[start] != 0x5B:
        return min(start + block, stop)
    i: cython.Py_ssize_t = start + 1
    begun: cython.Py_ssize_t = i
    depth: cython.Py_ssize_t = 1
    end: cython.Py_ssize_t
    shared: cython.bint = False
    c: cython.uchar
    while i < stop:
        if not cython.compiled:
            found = _SIGNS.search(data, i, stop)
            if found is None:
                break
            i = found.start()
        c = data[i]
        i += 1
        if c == 0x22:
            end = _string_end(data, i, stop)
            if depth == 2 and end - i == 5 and _is(data, i, b"role", 4):
                end = _value_start(data, end, stop)
                if _is_shared(data, end, stop):
                    shared = True
            i = end
        elif c == 0x7B or c == 0x5B:
            depth += 1
        elif c == 0x7D or c == 0x5D:
            depth -= 1
            if depth == 0:
                break
            if depth == 1:
                if not shared:
                    return min(i, begun + block)
                begun = i
                shared = False
    return min(begun + block, stop)


@cython.cfunc
@cython.exceptval(check=False)
def _bytes_of(body: bytes) -> cython.p_const_uchar:
    return cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(body)) if cython.compiled else body


@cython.cfunc
@cython.exceptval(check=False)
def _is(data: cython.p_const_uchar, i: cython.Py_ssize_t, word: bytes, size: cython.Py_ssize_t) -> cython.bint:
    """Whether a word of so many bytes stands at `i`, where there are as many."""
    if not cython.compiled:
        return data[i : i + size] == word
    return memcmp(data + i, PyBytes_AS_STRING(word), size) == 0


@cython.cfunc
@cython.exceptval(check=False)
def _is_shared(data: cython.p_const_uchar, i: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.bint:
    """Whether the string at `i` is the role of a message that is for all turns."""
    return (stop - i >= 8 and _is(data, i, b'"system"', 8)) or (stop - i >= 11 and _is(data, i, b'"developer"', 11))


@cython.cfunc
@cython.exceptval(check=False)
def _string_end(data: cython.p_const_uchar, i: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where a string ends that has begun before `i`: after the first quote that no backslash escapes, or at `stop`."""
    at: cython.Py_ssize_t = i
    back: cython.Py_ssize_t
    quote: cython.p_const_uchar
    while at < stop:
        if cython.compiled:
            quote = cython.cast(cython.p_const_uchar, memchr(data + at, 0x22, stop - at))
            if quote == cython.NULL:
                return stop
            at = quote - data
        else:
            at = data.find(b'"', at, stop)
            if at < 0:
                return stop
        back = at
        while back > i and data[back - 1] == 0x5C:
            back -= 1
        at += 1
        if (at - back) & 1:
            return at
    return stop


@cython.cfunc
@cython.exceptval(check=False)
def _value_start(data: cython.p_const_uchar, i: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the string begins that is the value of the key that ends at `i`; `i` where there is no such value."""
    at: cython.Py_ssize_t = i
    if not cython.compiled:
        found = _VALUE.match(data, i, stop)
        return found.end() - 1 if found is not None else i
    while at < stop and (data[at] == 0x20 or data[at] == 0x0A or data[at] == 0x0D or data[at] == 0x09):
        at += 1
    if at == stop or data[at] != 0x3A:
        return i
    at += 1
    while at < stop and (data[at] == 0x20 or data[at] == 0x0A or data[at] == 0x0D or data[at] == 0x09):
        at += 1
    return at if at < stop and data[at] == 0x22 else i
