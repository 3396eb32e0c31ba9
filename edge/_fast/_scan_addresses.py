"""Addresses, by the mark that each has: e-mail by its ``@``, IPv6 by its first colon, IPv4 by its points.

Each recogniser is given the stop at which the pass stands; it sets the reader's span and says whether there is one.
"""

from __future__ import annotations

from edge._fast.scan_tables import FILE_ENDINGS, HOST_ENDINGS

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._scan_text_c import (
        ALNUM,
        DIGIT,
        HEX,
        LETTER,
        LOCAL,
        TOKEN,
        VERSION_WORD,
        Reader,
        get,
        has,
        joined,
        meaning,
        peek,
        prior,
        wide_before,
    )
else:
    from edge._fast._scan_text import Reader, get, has, joined, meaning, peek, prior, wide_before
    from edge._fast.scan_tables import ALNUM, DIGIT, HEX, LETTER, LOCAL, TOKEN, VERSION_WORD

__all__ = ["DOMAIN_BYTES", "LOCAL_BYTES"]

LOCAL_BYTES, DOMAIN_BYTES = 64, 255
"""The longest local part and domain of an e-mail address: RFC 5321, section 4.5.3.1."""


@cython.cfunc
def _local(r: Reader, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the local part before the ``@`` begins, without what only stands before it; `at` if there is none."""
    low: cython.Py_ssize_t = max(r.floor, at - 64)
    p: cython.Py_ssize_t = at
    start: cython.Py_ssize_t
    q: cython.Py_ssize_t
    plain: cython.bint = True
    c: cython.uchar
    while p > low:
        if has(r, get(r, p - 1), LOCAL):
            p -= 1
        elif wide_before(r, p, low):
            p -= 2
        else:
            break
    # A local part may hold = / ? & and more, but where they occur they are a query's, an assignment's or a path's;
    # an = after a + is a bounce address's.
    start = p
    for q in range(p, at):
        c = get(r, q)
        if c in (0x2F, 0x3F, 0x26, 0x7C, 0x7B, 0x7D, 0x60) or (c == 0x3D and plain):
            start = q + 1
            plain = True
        elif not has(r, c, TOKEN):
            plain = False
    while start < at:
        c = get(r, start)
        if has(r, c, ALNUM) or c == 0x5F or c == 0x2B or c >= 0x80:
            return start
        start += 1
    return p


@cython.cfunc
def email(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """A dot-atom of at most 64 bytes (of a longer one the last 64) and a domain whose last label is letters."""
    start: cython.Py_ssize_t = _local(r, at)
    q: cython.Py_ssize_t = at + 1
    label: cython.Py_ssize_t = q
    top: cython.Py_ssize_t = 0
    end: cython.Py_ssize_t = 0
    top_before: cython.Py_ssize_t = 0
    end_before: cython.Py_ssize_t = 0
    numbers: cython.Py_ssize_t = 0
    letters: cython.bint = True
    digits: cython.bint = True
    c: cython.uchar
    if start == at:
        return False
    while q - at <= 255:
        c = peek(r, q)
        if has(r, c, LETTER):
            digits = False
            q += 1
            continue
        if has(r, c, DIGIT):
            letters = False
            q += 1
            continue
        if 0xC3 <= c < 0xE0 and 0x80 <= peek(r, q + 1) < 0xC0:
            digits = False
            q += 2
            continue
        # The label ends here, or at least what of it can be a top-level domain does.
        if label > at + 1 and q - label >= 2 and (letters or r.data[label : label + 4].lower() == b"xn--"):
            if top != label:
                end_before, top_before = end, top
            end, top = q, label
        if q == label or q - label > 63:
            break
        if c == 0x2E:
            numbers += digits
            label = q + 1
            letters = digits = True
        elif c == 0x2D:
            letters = digits = False
        else:
            break
        q += 1
    if end and r.data[top:end].lower() in FILE_ENDINGS:
        # The file may be named by an address.
        end = end_before if r.data[top_before:end_before].lower() in HOST_ENDINGS else 0
    if not end or numbers > 1:
        return False
    r.start, r.end = start, end
    return True


@cython.cfunc
def octets(r: Reader, p: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The end of the four octets at `p`, or 0."""
    start: cython.Py_ssize_t
    value: cython.Py_ssize_t
    n: cython.Py_ssize_t
    for n in range(4):
        start = p
        value = 0
        while p < start + 4 and has(r, peek(r, p), DIGIT):
            value = value * 10 + get(r, p) - 0x30
            p += 1
        if p == start or value > 255 or p - start > 3 or (p > start + 1 and get(r, start) == 0x30):
            return 0
        if n < 3:
            if peek(r, p) != 0x2E:
                return 0
            p += 1
    if peek(r, p) == 0x2E and has(r, peek(r, p + 1), DIGIT):
        return 0
    if has(r, peek(r, p), ALNUM) or peek(r, p) == 0x5F:
        return 0
    return 0 if peek(r, p) == 0x2D and has(r, peek(r, p + 1), LETTER) else p


@cython.cfunc
def ip4(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """Four octets that are not a version: after the word or a comparison, or ``Chrome/120.0.0.0``."""
    end: cython.Py_ssize_t = octets(r, at)
    c: cython.uchar
    if not end or joined(r, at):
        return False
    c = prior(r, at)
    if c == 0x5E or c == 0x7E or (c == 0x2D and has(r, prior(r, at - 1), LETTER)):
        return False
    if c == 0x3D and prior(r, at - 1) in (0x3D, 0x3E, 0x3C, 0x7E, 0x21):
        return False
    if c == 0x2F and has(r, prior(r, at - 1), LETTER) and r.data[end - 6 : end] == b".0.0.0":
        return False
    if meaning(r, at, 14) & VERSION_WORD:
        return False
    r.start, r.end = at, end
    return True


@cython.cfunc
def _indexed(r: Reader, p: cython.Py_ssize_t) -> cython.bint:
    """Whether a bracket opened within 16 bytes before `p` follows a name, a call or another bracket. To a `loose`
    reader it may stand in another string.
    """
    low: cython.Py_ssize_t = max(r.floor, p - 16)
    c: cython.uchar
    if r.loose:
        return False
    while p > low:
        p -= 1
        c = get(r, p)
        if c == 0x5D or c == 0x0A:
            return False
        if c == 0x5B:
            c = prior(r, p)
            return has(r, c, TOKEN) or c == 0x5D or c == 0x29
    return False


@cython.cfunc
def ip6(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """RFC 4291, section 2.2, with its zone if it has one (RFC 4007, section 11).

    Not ``::`` alone, nor what only looks like an address: EUI-64 (eight pairs of digits), names of letters a to f with
    ``::`` between them, slices such as ``x[::2, 1::2]``.
    """
    p: cython.Py_ssize_t = at
    q: cython.Py_ssize_t
    group: cython.Py_ssize_t
    groups: cython.Py_ssize_t = 0
    pairs: cython.bint = True
    digits: cython.bint = False
    packed: cython.bint = False
    c: cython.uchar
    while p > r.floor and at - p < 5 and has(r, get(r, p - 1), HEX):
        p -= 1
    c = prior(r, p)
    if at - p > 4 or has(r, c, ALNUM) or c == 0x3A or c == 0x2E or c == 0x5F:
        return False
    q = p
    if p == at:
        if peek(r, at + 1) != 0x3A:
            return False
        packed = True
        q += 2
    while has(r, peek(r, q), HEX):
        group = q
        while q < group + 5 and has(r, peek(r, q), HEX):
            digits |= get(r, q) <= 0x39
            q += 1
        if q - group > 4 or groups == 8:
            return False
        if (groups or packed) and q - group < 4 and peek(r, q) == 0x2E and has(r, peek(r, q + 1), DIGIT):
            q = octets(r, group)
            if not q:
                return False
            groups += 2
            break
        groups += 1
        pairs &= q - group == 2
        if peek(r, q) != 0x3A:
            break
        if peek(r, q + 1) == 0x3A:
            if packed:
                return False
            packed = True
            q += 2
        elif has(r, peek(r, q + 1), HEX):
            q += 1
        else:
            break
    c = peek(r, q)
    if has(r, c, ALNUM) or c == 0x5F or (c == 0x3A and (has(r, peek(r, q + 1), ALNUM) or peek(r, q + 1) == 0x3A)):
        return False
    if not packed:
        if groups != 8 or pairs:
            return False
    else:
        if groups == 0 or groups > 7 or not (digits or groups > 2):
            return False
        if groups < 3 and _indexed(r, p):
            return False
    if c == 0x25 and has(r, peek(r, q + 1), ALNUM):
        group = q
        q += 1
        while q < group + 17 and has(r, peek(r, q), TOKEN):
            q += 1
    r.start, r.end = p, q
    return True


@cython.cfunc
def closed(r: Reader, p: cython.Py_ssize_t) -> cython.bint:
    """Whether a number can end at `p`: it does not go on, and is no e-mail's local part."""
    c: cython.uchar = peek(r, p)
    if has(r, c, ALNUM) or c == 0x5F or c == 0x25:
        return False
    if c == 0x2D or c == 0x2E or c == 0x3A:
        return not has(r, peek(r, p + 1), DIGIT)
    return c != 0x40 or not email(r, p)
