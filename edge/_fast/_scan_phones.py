"""Telephone numbers: those written as such, and those that a word nearby makes one.

By itself a number is one that is written internationally (a plus or 00, a calling code, as many digits as that country
has), as North America does (three, three and four digits), with an area code in parentheses, or with a trunk prefix of
0. Others need a word such as "call" as the nearest of the list before them, or at their side: seven digits are a number
in any town, or anything else.
"""

from __future__ import annotations

from edge._fast.scan_tables import CODES

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._scan_addresses_c import closed
    from cython.cimports.edge._fast._scan_text_c import (
        ALNUM,
        DIGIT,
        NO_PHONE_WORD,
        PHONE_WORD,
        SIDE_WORD,
        Reader,
        get,
        has,
        joined,
        meaning,
        meaning_after,
        peek,
        prior,
    )
else:
    from edge._fast._scan_addresses import closed
    from edge._fast._scan_text import Reader, get, has, joined, meaning, meaning_after, peek, prior
    from edge._fast.scan_tables import ALNUM, DIGIT, NO_PHONE_WORD, PHONE_WORD, SIDE_WORD

__all__ = ["CALLING_CODES"]

CALLING_CODES = frozenset(code for code in range(1000) if CODES[2 * code + 1])
"""The countries' codes: ITU-T E.164."""

WINDOW = 48
"""How many bytes before a number its word may stand."""


@cython.cfunc
def phone(r: Reader, n: cython.Py_ssize_t) -> cython.bint:
    """Whether a telephone number begins with the `n` groups just read, seven digits or more."""
    at: cython.Py_ssize_t = r.group[0]
    start: cython.Py_ssize_t = at
    c: cython.uchar = prior(r, at)
    open_: cython.bint = False
    used: cython.Py_ssize_t
    if c == 0x28:
        open_ = True
        start -= 1
        c = prior(r, start)
    if c == 0x2B:
        start -= 1
        c = prior(r, start)
        if c == 0x28 and not open_:
            start -= 1
            c = prior(r, start)
        if has(r, c, ALNUM) or c == 0x5F:
            return False
        used = _international(r, n, 0)
        return used > 0 and _set(r, start, used)
    # A price, or the rest of a date, a time, a path or a sum.
    if c == 0x24 or c == 0xA3 or c == 0xAC or has(r, c, ALNUM) or c == 0x5F or joined(r, start):
        return False
    if (c == 0x2F or c == 0x3A) and has(r, prior(r, start - 1), DIGIT):
        return False
    used = 0
    if r.digits[0] == 0 and r.digits[1] == 0:
        used = _international(r, n, 2)
    elif r.digits[0] == 0 and r.digits[1] == 1 and r.digits[2] == 1:
        used = _international(r, n, 3)
    if used > 0 and (used > 1 or meaning(r, start, WINDOW) & PHONE_WORD):
        return _set(r, start, used)
    used = _american(r, n)
    if used > 0 and (not _column(r, n, used, start) or meaning(r, start, WINDOW) & PHONE_WORD):
        return _set(r, start, used)
    used = 0
    if _date(r, n):
        return False
    if open_ and n > 1 and r.gap[1] == 0x29 and r.stop[0] - at >= 2:
        used = _take(r, n, 2, 8, 12)
    elif r.digits[0] == 0 and r.digits[1]:
        used = _trunk(r, n)
    if used > 0 and not meaning(r, start, WINDOW) & NO_PHONE_WORD:
        return _set(r, start, used)
    used = _said(r, n, start)
    return used > 0 and _set(r, start, used)


@cython.cfunc
def _set(r: Reader, start: cython.Py_ssize_t, used: cython.Py_ssize_t) -> cython.bint:
    """Set the span of so many groups and of the extension after them, without a parenthesis that it does not close."""
    end: cython.Py_ssize_t = r.stop[used - 1]
    p: cython.Py_ssize_t = end
    c: cython.uchar = peek(r, p)
    i: cython.Py_ssize_t
    depth: cython.Py_ssize_t
    if get(r, start) == 0x28:
        depth = 1
        for i in range(1, used):
            if r.gap[i] == 0x28:
                depth += 1
            elif r.gap[i] == 0x29:
                depth -= 1
                if depth == 0:
                    break
        if depth:
            start += 1
    if c == 0x20 or c == 0x2C:
        p += 1
        if c == 0x2C and peek(r, p) == 0x20:
            p += 1
        c = peek(r, p)
    if c | 0x20 == 0x78 or c == 0x23:
        p += 1
    elif c | 0x20 == 0x65 and peek(r, p + 1) | 0x20 == 0x78 and peek(r, p + 2) | 0x20 == 0x74:
        p += 3
        if peek(r, p) == 0x2E:
            p += 1
    else:
        p = 0
    if p:
        if peek(r, p) == 0x20:
            p += 1
        c = peek(r, p)
        if has(r, c, DIGIT):
            used = p
            while p < used + 7 and has(r, peek(r, p), DIGIT):
                p += 1
            if not has(r, peek(r, p), ALNUM):
                end = p
    r.start, r.end = start, end
    return True


@cython.cfunc
def _fits(r: Reader, used: cython.Py_ssize_t) -> cython.bint:
    """Whether the number can end with these groups; an extension may follow at once."""
    p: cython.Py_ssize_t = r.stop[used - 1]
    c: cython.uchar = peek(r, p)
    if c | 0x20 == 0x78 and has(r, peek(r, p + 1), DIGIT):
        return True
    if c | 0x20 == 0x65 and peek(r, p + 1) | 0x20 == 0x78 and peek(r, p + 2) | 0x20 == 0x74:
        return True
    return closed(r, p)


@cython.cfunc
def _take(
    r: Reader, n: cython.Py_ssize_t, fewest: cython.Py_ssize_t, least: cython.Py_ssize_t, most: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """The most groups with so many digits, none after the first of a single digit; 0 if there are none."""
    used: cython.Py_ssize_t = n
    i: cython.Py_ssize_t
    for i in range(1, n):
        if r.stop[i] - r.group[i] < 2:
            used = i
            break
    while used >= fewest:
        if least <= r.count[used] <= most and _fits(r, used):
            return used
        used -= 1
    return 0


@cython.cfunc
def _international(r: Reader, n: cython.Py_ssize_t, skipped: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """How many groups a calling code (after `skipped` digits) and a country's digits take, or 0."""
    code: cython.Py_ssize_t = 0
    digits: cython.Py_ssize_t = skipped
    used: cython.Py_ssize_t = n
    national: cython.Py_ssize_t
    trunk: cython.Py_ssize_t
    table: bytes = CODES
    while digits < skipped + 3 and digits < r.count[n]:
        code = code * 10 + r.digits[digits]
        digits += 1
        if not code:
            return 0
        if table[2 * code + 1]:
            break
    if not table[2 * code + 1]:
        return 0
    # The trunk prefix in +44 (0)20 is not dialled; the 0 of Italy and others is.
    trunk = digits < r.count[n] and r.digits[digits] == 0
    if code == 1 and r.count[n] > digits and r.digits[digits] < 2:
        return 0
    while used > 0:
        national = r.count[used] - digits
        if (
            table[2 * code] <= national <= table[2 * code + 1] + trunk
            and r.count[used] - skipped >= 7
            and _fits(r, used)
        ):
            # A signed decimal, of an angle or an amount.
            if used == 2 and r.gap[1] == 0x2E and r.stop[1] - r.group[1] < 8:
                return 0
            return used
        used -= 1
    return 0


@cython.cfunc
def _american(r: Reader, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The groups of an area code, an exchange and four digits (North American Numbering Plan), or 0."""
    i: cython.Py_ssize_t = 1 if n > 3 and r.count[1] == 1 and r.digits[0] == 1 else 0
    first: cython.Py_ssize_t = r.count[i]
    if n < i + 3 or r.count[i + 1] != first + 3 or r.count[i + 2] != first + 6 or r.count[i + 3] != first + 10:
        return 0
    if r.digits[first] < 2 or r.gap[i + 2] == 0x29 or r.gap[i + 2] == 0x28 or not _fits(r, i + 3):
        return 0
    return i + 3


@cython.cfunc
def _column(r: Reader, n: cython.Py_ssize_t, used: cython.Py_ssize_t, start: cython.Py_ssize_t) -> cython.bint:
    """Whether these groups stand between spaces, with other numbers before or after them."""
    i: cython.Py_ssize_t
    for i in range(1, used):
        if r.gap[i] != 0x20:
            return False
    return n > used or (prior(r, start) == 0x20 and has(r, prior(r, start - 1), DIGIT))


@cython.cfunc
def _trunk(r: Reader, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The groups of nine to eleven digits that begin with an area code after a 0, or 0."""
    used: cython.Py_ssize_t
    if n == 1 or r.stop[0] - r.group[0] > 8:
        # The digits in their order are an alphabet.
        if r.count[1] == 10 and r.data[r.group[0] : r.stop[0]] == b"0123456789":
            return 0
        return 1 if 10 <= r.count[1] <= 11 and _fits(r, 1) else 0
    if r.stop[0] - r.group[0] < 2:
        return 0
    used = _take(r, n, 2, 9, 11)
    # Grouped as a social security number is, which has been refused as one; a ZIP+4 code.
    if used == 3 and r.count[1] == 3 and r.count[2] == 5 and r.gap[1] == r.gap[2]:
        return 0
    if used == 2 and r.count[1] == 5 and r.count[2] == 9 and r.gap[1] == 0x2D:
        return 0
    # Two groups with a point are a decimal number.
    return 0 if used == 2 and r.gap[1] == 0x2E and r.count[1] < 3 else used


@cython.cfunc
def _date(r: Reader, n: cython.Py_ssize_t) -> cython.bint:
    """Whether the first groups are a date: year, month and day, or these the other way round."""
    first: cython.Py_ssize_t
    second: cython.Py_ssize_t
    # From year to year.
    if n >= 2 and r.count[1] == 4 and r.count[2] == 8 and r.digits[0] * 10 + r.digits[1] in (19, 20):
        return r.digits[4] * 10 + r.digits[5] in (19, 20)
    if n < 3 or r.gap[1] != r.gap[2] or r.stop[1] - r.group[1] > 2:
        return n >= 2 and r.count[1] == 8 and r.digits[0] * 10 + r.digits[1] in (19, 20) and r.gap[1] != 0x29
    first = r.stop[0] - r.group[0]
    second = r.digits[r.count[1]]
    if r.count[2] - r.count[1] == 2:
        second = second * 10 + r.digits[r.count[1] + 1]
    if second > 31:
        return False
    if first == 4:
        return r.digits[0] * 10 + r.digits[1] in (19, 20) and r.stop[2] - r.group[2] <= 2
    if first > 2 or r.stop[2] - r.group[2] != 4:
        return False
    first = r.digits[0] if first == 1 else r.digits[0] * 10 + r.digits[1]
    return 0 < first <= 31 and r.digits[r.count[2]] * 10 + r.digits[r.count[2] + 1] in (19, 20)


@cython.cfunc
def _said(r: Reader, n: cython.Py_ssize_t, start: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The groups of what a word before it, or just after it, says is a telephone number, or 0."""
    used: cython.Py_ssize_t
    said: cython.Py_ssize_t
    if n > 1 and r.gap[1] != 0x2E and r.stop[0] - r.group[0] < 7:
        used = _take(r, n, 2, 7, 13)
    elif n > 2:
        used = _take(r, n, 3, 7, 12)
    else:
        used = 1 if 7 <= r.count[1] <= 12 and _fits(r, 1) else 0
        # Seconds since 1970.
        if r.count[1] == 10 and r.digits[0] == 1:
            used = 0
    if not used:
        return 0
    said = meaning(r, start, WINDOW)
    if not said & (PHONE_WORD | NO_PHONE_WORD):
        said = meaning_after(r, r.stop[used - 1])
        return used if said & (PHONE_WORD | SIDE_WORD) else 0
    return used if said & PHONE_WORD else 0
