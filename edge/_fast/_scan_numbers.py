"""Numbers that say who somebody is: payment cards, IBANs, US social security numbers, and what others of digits are.

A number is read once, as groups of digits with what stands between them (`_read`); the recognisers look at its groups.
"""

from __future__ import annotations

from array import array

from edge._fast.scan_tables import CARDS, IBANS

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._scan_addresses_c import closed, ip4
    from cython.cimports.edge._fast._scan_phones_c import phone
    from cython.cimports.edge._fast._scan_secrets_c import google_access
    from cython.cimports.edge._fast._scan_text_c import (
        ALNUM,
        CARD,
        DIGIT,
        IBAN,
        IP,
        LETTER,
        NO_CARD_WORD,
        PHONE,
        PLAIN,
        SECRET,
        SSN,
        SSN_WORD,
        Reader,
        get,
        has,
        joined,
        meaning,
        peek,
        prior,
    )
else:
    from edge._fast._scan_addresses import closed, ip4
    from edge._fast._scan_phones import phone
    from edge._fast._scan_secrets import google_access
    from edge._fast._scan_text import Reader, get, has, joined, meaning, peek, prior
    from edge._fast.scan_tables import (
        ALNUM,
        CARD,
        DIGIT,
        IBAN,
        IP,
        LETTER,
        NO_CARD_WORD,
        PHONE,
        PLAIN,
        SECRET,
        SSN,
        SSN_WORD,
    )

__all__ = ["is_card", "is_iban"]

_LENGTHS = array("I", bytes(40_000))
"""Of each four digits, the lengths that cards have which begin with these, as bits."""
for _from, _to, _lengths in CARDS:
    for _first in range(_from, _to + 1):
        for _length in _lengths:
            _LENGTHS[_first] |= 1 << _length


@cython.cfunc
def _read(r: Reader, p: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Read at most nine groups of 24 digits together from `p`, where a digit is; return how many groups there are.

    Between two groups stands a space, hyphen, point, slash, a hyphen between spaces, or a parenthesis with a space or
    hyphen at its side; a space may be U+00A0, a hyphen U+2010 to U+2013.
    """
    n: cython.Py_ssize_t = 0
    count: cython.Py_ssize_t = 0
    q: cython.Py_ssize_t
    kind: cython.Py_ssize_t
    c: cython.uchar
    while True:
        r.group[n] = p
        r.count[n] = count
        c = peek(r, p)
        while 0x30 <= c <= 0x39:
            if count == 24:
                return n
            r.digits[count] = c - 0x30
            count += 1
            p += 1
            c = peek(r, p)
        r.stop[n] = p
        n += 1
        r.count[n] = count
        if n == 9:
            return n
        q = p
        kind = 0
        if c == 0x29:
            kind = 0x29
            q += 1
            c = peek(r, q)
        if c == 0x20 or c == 0x2D or c == 0x2E or c == 0x2F:
            kind = kind or c
            q += 1
        elif c == 0xC2 and peek(r, q + 1) == 0xA0:
            kind = kind or 0x20
            q += 2
        elif c == 0xE2 and peek(r, q + 1) == 0x80 and 0x90 <= peek(r, q + 2) <= 0x93:
            kind = kind or 0x2D
            q += 3
        c = peek(r, q)
        if c == 0x28 and kind != 0x29:
            kind = 0x28
            q += 1
        elif c == 0x2D and kind == 0x20 and peek(r, q + 1) == 0x20:
            q += 2
        if not kind or not has(r, peek(r, q), DIGIT):
            return n
        r.gap[n] = kind
        p = q


@cython.cfunc
def number(r: Reader, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The kind of the number whose first digit is at `at`, the reader's span being set, or -1 and `end` after it."""
    mask: cython.longlong = r.mask
    last: cython.uchar = prior(r, at)
    end: cython.Py_ssize_t = at + 1
    n: cython.Py_ssize_t
    while end < at + 25 and has(r, peek(r, end), DIGIT):
        end += 1
    if has(r, last, ALNUM):
        if has(r, last, LETTER) and end - at >= 2:
            if mask & 1 << IBAN and _iban(r, at):
                return IBAN
            if mask & 1 << SECRET and google_access(r, at):
                return SECRET
    elif end - at <= 24:
        n = _read(r, at)
        if r.count[n] >= 12 and mask & 1 << CARD and _card(r, n):
            return CARD
        if n >= 4 and mask & 1 << IP and r.gap[1] == 0x2E and ip4(r, at):
            return IP
        if r.count[n] >= 9 and mask & 1 << SSN and _ssn(r, n):
            return SSN
        if r.count[n] >= 7 and mask & 1 << PHONE and phone(r, n):
            return PHONE
    r.end = end
    return -1


# Payment cards.


@cython.cfunc
def _issued(r: Reader, count: cython.Py_ssize_t) -> cython.bint:
    """Whether the first `count` digits are of an issuer's range and length, with the check digit of ISO/IEC 7812-1."""
    total: cython.Py_ssize_t = 0
    digit: cython.Py_ssize_t
    i: cython.Py_ssize_t
    for i in range(count):
        digit = r.digits[count - 1 - i]
        if i % 2:
            digit *= 2
            if digit > 9:
                digit -= 9
        total += digit
    if total % 10:
        return False
    first: cython.Py_ssize_t = r.digits[0] * 1000 + r.digits[1] * 100 + r.digits[2] * 10 + r.digits[3]
    lengths: cython.Py_ssize_t = _LENGTHS[first]
    return lengths >> count & 1


@cython.cfunc
def _card(r: Reader, n: cython.Py_ssize_t) -> cython.bint:
    """12 to 19 digits in one piece, or in groups after a first one of four, with spaces or with hyphens.

    What follows 15 or 16 digits after a space (a security code, a date) need not belong to it. One in ten numbers has
    the check digit by chance: after a word such as order, one in one piece is none.
    """
    at: cython.Py_ssize_t = r.group[0]
    groups: cython.Py_ssize_t = 1
    c: cython.uchar = prior(r, at)
    count: cython.Py_ssize_t
    if c == 0x2B or c == 0x5F:
        return False
    # A long number after a hyphen is not a part of a UUID, whose longest has 12 digits.
    if joined(r, at) and not (c == 0x2D and r.count[1] > 12):
        return False
    if r.count[1] == 4 and n > 1 and (r.gap[1] == 0x20 or r.gap[1] == 0x2D):
        while groups < n and r.gap[groups] == r.gap[1] and r.stop[groups] - r.group[groups] <= 7:
            groups += 1
    whole: cython.Py_ssize_t = groups
    while groups > 0:
        count = r.count[groups]
        if count < 12 or (groups < whole and count < 15):
            return False
        if count <= 19 and _issued(r, count):
            c = peek(r, r.stop[groups - 1])
            if not has(r, c, ALNUM) and c != 0x5F and (c == 0x2D or closed(r, r.stop[groups - 1])):
                if groups == 1 and meaning(r, at, 14) & NO_CARD_WORD:
                    return False
                r.start, r.end = at, r.stop[groups - 1]
                return True
        groups -= 1
    return False


def is_card(digits: bytes) -> bool:
    """Whether these bytes, digits alone, are a card number: length, issuer's range and check digit."""
    if not digits.isdigit() or not 12 <= len(digits) <= 19:
        return False
    r: Reader = Reader(digits, 0, len(digits), 0, 0, PLAIN)
    _read(r, 0)
    return bool(_issued(r, len(digits)))


# IBANs.


@cython.cfunc
def _iban(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """ISO 13616: a country's letters, of which the second is before `at`, its length, and 1 modulo 97.

    Single spaces or hyphens may stand between its characters.
    """
    start: cython.Py_ssize_t = at - 2
    length: cython.Py_ssize_t
    if start < r.floor or has(r, prior(r, start), ALNUM) or prior(r, start) == 0x5F:
        return False
    country: bytes = r.data[start:at].upper()
    length = IBANS.get(country, 0)
    if not length:
        return False
    if _checked(r, at, abs(length), length < 0):
        return True
    # A British one with a digit less, as generators of test data write them.
    return length == 22 and country == b"GB" and _checked(r, at, 21, False)


@cython.cfunc
def _checked(r: Reader, at: cython.Py_ssize_t, length: cython.Py_ssize_t, numeric: cython.bint) -> cython.bint:
    """Whether an IBAN of this length goes on at `at`, of digits alone if it is `numeric`."""
    start: cython.Py_ssize_t = at - 2
    q: cython.Py_ssize_t = at
    read: cython.Py_ssize_t = 2
    rest: cython.Py_ssize_t = 0
    value: cython.Py_ssize_t
    c: cython.uchar
    # The country and the check digits come last in the division.
    while read < length:
        c = peek(r, q)
        if read >= 4 and (c == 0x20 or c == 0x2D):
            q += 1
            c = peek(r, q)
        if has(r, c, DIGIT):
            value = c - 0x30
        elif has(r, c, LETTER) and read >= 4 and not numeric:
            value = (c | 0x20) - 0x57
        else:
            return False
        if read >= 4:
            rest = (rest * (100 if value > 9 else 10) + value) % 97
        read += 1
        q += 1
    if has(r, peek(r, q), ALNUM) or peek(r, q) == 0x5F:
        return False
    rest = (rest * 100 + (get(r, start) | 0x20) - 0x57) % 97
    rest = (rest * 100 + (get(r, start + 1) | 0x20) - 0x57) % 97
    if (rest * 100 + (get(r, at) - 0x30) * 10 + get(r, at + 1) - 0x30) % 97 != 1:
        return False
    r.start, r.end = start, q
    return True


def is_iban(text: bytes) -> bool:
    """Whether these bytes are an IBAN, with or without separators."""
    r: Reader = Reader(text, 0, len(text), 0, 0, PLAIN)
    return len(text) > 4 and bool(_iban(r, 2)) and r.end == len(text)


# US social security numbers.


@cython.cfunc
def _ssn(r: Reader, n: cython.Py_ssize_t) -> cython.bint:
    """Three, two and four digits with the same separator, or nine after a word that says so.

    Never assigned (20 CFR 422.103 and SSA's randomization rules): an area of 000, 666 or from 900, a group of 00, a
    serial of 0000. Known not to be anybody's: 078-05-1120, 123-45-6789, 987-65-432x, nine equal digits.
    """
    at: cython.Py_ssize_t = r.group[0]
    end: cython.Py_ssize_t
    value: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t
    c: cython.uchar = prior(r, at)
    if c == 0x2B or joined(r, at):
        return False
    if r.count[1] == 9:
        end = r.stop[0]
        if not meaning(r, at, 40) & SSN_WORD:
            return False
    elif n > 2 and r.count[1] == 3 and r.count[2] == 5 and r.count[3] == 9 and r.gap[1] == r.gap[2]:
        end = r.stop[2]
        if r.gap[1] == 0x29 or r.gap[1] == 0x28 or r.gap[1] == 0x2F or (n > 3 and r.gap[3] == r.gap[1]):
            return False
    else:
        return False
    for i in range(9):
        value = value * 10 + r.digits[i]
    if not value // 1000000 or value // 1000000 == 666 or value >= 900000000:
        return False
    if not value // 10000 % 100 or not value % 10000 or value % 111111111 == 0:
        return False
    if value == 78051120 or value == 123456789 or not closed(r, end):
        return False
    r.start, r.end = at, end
    return True
