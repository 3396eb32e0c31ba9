"""Secrets, by how they begin: keys of APIs, tokens, the values after Bearer, private keys.

Each recogniser is given a byte of that beginning; it sets the reader's span and says whether there is one. A secret has
no longest length, so what has read far and recognises nothing leaves a note (`tried`) that keeps the pass linear.
"""

from __future__ import annotations

from edge._fast.scan_tables import PREFIXES

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._scan_text_c import (
        ALNUM,
        DIGIT,
        JSON,
        LETTER,
        PEM,
        TOKEN,
        VALUE,
        Reader,
        get,
        has,
        peek,
        prior,
    )
else:
    from edge._fast._scan_text import Reader, get, has, peek, prior
    from edge._fast.scan_tables import ALNUM, DIGIT, JSON, LETTER, PEM, TOKEN, VALUE

__all__ = ["SECRET_PREFIXES"]

SECRET_PREFIXES = (
    *sorted(prefix.decode() for entries in PREFIXES.values() for prefix, _, _, _ in entries),
    "AIza",
    "AKIA",
    "ASIA",
    "Bearer ",
    "eyJ",
    "ya29.",
    "-----BEGIN PRIVATE KEY-----",
)
"""How what is recognised as a secret begins."""

_PAIRS = bytes(
    any((prefix[-3] * 31 + prefix[-2]) % 256 == pair for entries in PREFIXES.values() for prefix, _, _, _ in entries)
    for pair in range(256)
)
"""Whether a prefix can have these two bytes before its last: most hyphens are in words."""


@cython.cfunc
def _here(r: Reader, p: cython.Py_ssize_t, word: bytes) -> cython.bint:
    """Whether `word` stands at `p`, which is at most the end."""
    q: cython.Py_ssize_t
    for q in range(len(word)):  # noqa: SIM110, a generator would need the interpreter
        if peek(r, p + q) != word[q]:
            return False
    return True


@cython.cfunc
def _run(r: Reader, p: cython.Py_ssize_t, bits: cython.uchar, most: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the bytes of these classes that begin at `p` end, `most` bytes at most."""
    most += p
    while p < most and has(r, peek(r, p), bits):
        p += 1
    return p


@cython.cfunc
def _random(r: Reader, p: cython.Py_ssize_t, bits: cython.uchar) -> cython.bint:
    """Whether the run at `p` has a digit, or letters of both cases, in its first 40 bytes: no slug, no class name."""
    end: cython.Py_ssize_t = _run(r, p, bits, 40)
    lower: cython.bint = False
    upper: cython.bint = False
    c: cython.uchar
    while p < end:
        c = get(r, p)
        if has(r, c, DIGIT):
            return True
        lower |= 0x61 <= c <= 0x7A
        upper |= 0x41 <= c <= 0x5A
        p += 1
    return lower and upper


@cython.cfunc
def secret(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """A key, token or key block whose beginning this stop marks."""
    c: cython.uchar = get(r, at)
    if c == 0x2D or c == 0x5F:
        if c == 0x2D and prior(r, at) == 0x2D:
            return peek(r, at + 1) == 0x42 and _key_block(r, at)
        return _prefixed(r, at)
    if c == 0x42 or c == 0x62:
        return _bearer(r, at)
    if c == 0x4A:
        return _token(r, at)
    if c == 0x7A:
        return _google(r, at)
    return _amazon(r, at)


@cython.cfunc
def _prefixed(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """What begins with one of PREFIXES, whose last byte is at `at`."""
    last: cython.uchar = prior(r, at)
    pairs: bytes = _PAIRS
    prefix: bytes
    least: cython.Py_ssize_t
    bits: cython.uchar
    mixed: cython.bint
    start: cython.Py_ssize_t
    end: cython.Py_ssize_t
    q: cython.Py_ssize_t
    if not has(r, last, LETTER) or not pairs[(prior(r, at - 1) * 31 + last) % 256]:
        return False
    entries: list | None = PREFIXES.get(last << 8 | get(r, at))
    if entries is None:
        return False
    for entry in entries:
        prefix, least, bits, mixed = entry
        start = at + 1 - len(prefix)
        if start < r.floor or has(r, prior(r, start), ALNUM):
            continue
        for q in range(len(prefix)):
            if get(r, start + q) != prefix[q]:
                break
        else:
            # What is read in vain is bounded: a run may hold many prefixes.
            end = _run(r, at + 1, bits, least)
            if end - at <= least or (mixed and not _random(r, at + 1, bits)):
                continue
            end = _run(r, end, bits, r.size)
            while not has(r, get(r, end - 1), ALNUM):
                end -= 1
            if end - at <= least:
                continue
            r.start, r.end = start, end
            return True
    return False


@cython.cfunc
def _google(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """``AIza`` and 35 bytes more; `at` is at the z."""
    end: cython.Py_ssize_t
    if at - 2 < r.floor or get(r, at - 1) != 0x49 or get(r, at - 2) != 0x41 or has(r, prior(r, at - 2), ALNUM):
        return False
    if peek(r, at + 1) != 0x61:
        return False
    end = _run(r, at + 2, TOKEN, r.size)
    if end - at < 32:
        return False
    r.start, r.end = at - 2, end
    return True


@cython.cfunc
def google_access(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """``ya29.`` and the rest; `at` is at the 2."""
    end: cython.Py_ssize_t
    if at - 2 < r.floor or get(r, at - 1) != 0x61 or get(r, at - 2) != 0x79 or has(r, prior(r, at - 2), ALNUM):
        return False
    if not _here(r, at, b"29."):
        return False
    end = _run(r, at + 3, TOKEN, r.size)
    if end - at < 23:
        return False
    r.start, r.end = at - 2, end
    return True


@cython.cfunc
def _amazon(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """``AKIA`` or ``ASIA`` and 16 capitals and digits (AWS IAM, unique identifiers); `at` is at the second byte."""
    q: cython.Py_ssize_t = at + 3
    if at - 1 < r.floor or get(r, at - 1) != 0x41 or peek(r, at + 1) != 0x49 or peek(r, at + 2) != 0x41:
        return False
    if has(r, prior(r, at - 1), ALNUM):
        return False
    while q < at + 19:
        if not has(r, peek(r, q), ALNUM) or get(r, q) >= 0x61:
            return False
        q += 1
    if has(r, peek(r, q), ALNUM):
        return False
    r.start, r.end = at - 1, q
    return True


@cython.cfunc
def _token(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """A JSON Web Token: two to five parts of base64url, the first of which begins with ``{"`` (RFC 7519, section 3)."""
    start: cython.Py_ssize_t = at - 2
    part: cython.Py_ssize_t = start
    run: cython.Py_ssize_t
    end: cython.Py_ssize_t
    parts: cython.Py_ssize_t = 1
    if start < r.floor or get(r, at - 1) != 0x79 or get(r, start) != 0x65 or has(r, prior(r, start), ALNUM):
        return False
    if at < r.tried:
        return False
    run = _run(r, at, TOKEN, r.size)
    end = run
    while parts < 5 and peek(r, end) == 0x2E:
        part = end + 1
        if not has(r, peek(r, part), TOKEN) and not (parts == 1 and peek(r, part) == 0x2E):
            break
        end = _run(r, part, TOKEN, r.size)
        parts += 1
    if parts < 2 or run - start < 10:
        r.tried = run
        return False
    r.start, r.end = start, end
    return True


@cython.cfunc
def _bearer(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """The value after ``Bearer`` (RFC 6750, section 2.1), without that word.

    After an Authorization header's name any value is one; elsewhere it has a digit, letters of both cases, two points,
    or 24 bytes: a word of prose has none.
    """
    q: cython.Py_ssize_t
    start: cython.Py_ssize_t
    points: cython.Py_ssize_t = 0
    plain: cython.bint
    c: cython.uchar
    for q in range(6):
        if peek(r, at + q) | 0x20 != b"bearer"[q]:
            return False
    c = prior(r, at)
    if has(r, c, ALNUM) or c == 0x5F:
        return False
    q = at + 6
    if peek(r, q) == 0x3A:
        q += 1
    start = q
    while q < start + 4 and (peek(r, q) == 0x20 or peek(r, q) == 0x09):
        q += 1
    if q == start:
        return False
    start = q
    while True:
        c = peek(r, q)
        if has(r, c, VALUE):
            points += c == 0x2E and has(r, peek(r, q + 1), ALNUM)
            q += 1
        elif r.reading and c == 0x5C and peek(r, q + 1) == 0x2F:
            q += 2
        else:
            break
    while q > start and get(r, q - 1) == 0x2E:
        q -= 1
    if q == start:
        return False
    plain = q - start < 24 and points < 2 and not (q - start > 5 and _random(r, start + 1, VALUE))
    if (
        plain
        and not r.loose
        and b"authorization"
        not in (r.data[r.key_start : r.key_end] + b" " + r.data[max(r.first, at - 24) : at]).lower()
    ):
        return False
    r.start, r.end = start, q
    return True


@cython.cfunc
def _key_block(r: Reader, at: cython.Py_ssize_t) -> cython.bint:
    """A PEM private key (RFC 7468), whose BEGIN follows the hyphen at `at`, to the end of its END line.

    Where another boundary comes before an END, or none comes: to the end of what looks like its lines.
    """
    start: cython.Py_ssize_t = at - 4
    q: cython.Py_ssize_t = at + 7
    end: cython.Py_ssize_t
    close: cython.Py_ssize_t
    c: cython.uchar
    if start < r.floor or r.data[start:at] != b"----" or not _here(r, at + 1, b"BEGIN "):
        return False
    while q < at + 48 and (has(r, peek(r, q), ALNUM) or peek(r, q) == 0x20):
        q += 1
    if b"PRIVATE KEY" not in r.data[at:q] or not _here(r, q, b"-----"):
        return False
    q += 5
    end = r.data.find(b"-----", q, r.size)
    if end < 0:
        r.short = True
    elif _here(r, end + 5, b"END ") and (r.reading != JSON or r.data.find(b'"', q, end) < 0):
        close = end + 9
        while close < end + 48 and (has(r, peek(r, close), ALNUM) or peek(r, close) == 0x20):
            close += 1
        if _here(r, close, b"-----"):
            r.start, r.end = start, close + 5
            return True
    while True:
        c = peek(r, q)
        if has(r, c, PEM) or (c == 0x20 and get(r, q - 1) in (0x3A, 0x2C)):
            q += 1
        elif c == 0x5C and peek(r, q + 1) in (0x6E, 0x72, 0x74, 0x2F):
            q += 2
        else:
            break
    r.start, r.end = start, q
    return True
