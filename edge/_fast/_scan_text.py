r"""The scanner's reader: bytes with a memory of whether a decision could change with more text, boundaries, and words.

Where text comes in pieces, what a recogniser says counts when it did not look past the end of what is here: `peek` sets
`short` when it is asked for more. The compiled modules have `Reader` and the functions on it from ``_scan_text_c.pxd``.
"""

from __future__ import annotations

from edge._fast.scan_tables import CLASSES, WORDS

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._scan_text_c import (
        ALNUM,
        JSON,
        LETTER,
        PHONE_WORD,
        SSN_WORD,
        get,
        has,
        peek,
        prior,
    )
else:
    from edge._fast.scan_tables import ALNUM, JSON, LETTER, PHONE_WORD, SSN_WORD

__all__ = ["Reader", "has_unicode_escapes"]


@cython.final
@cython.cclass
class Reader:
    """``data[first:size]``, of which what lies before `floor` (where a span or an escape ended) is decided.
    ``data[key_start:key_end]`` is the key of the member that it is the value of, whose words stand before its own. A
    `loose` reader takes it that whatever word is needed stands there, and none that is in the way.

    A recogniser sets `start` and `end`; a token that begins before `tried` is none. The rest is one number: where each
    group of digits begins (`group`) and ends (`stop`), what stands before it (`gap`), how many digits there are before
    it (`count`), and their values (`digits`).
    """

    def __init__(self, data: bytes, first: int, size: int, floor: int, mask: int, reading: int) -> None:
        self.data = data
        self.table = CLASSES
        self.text = self.data
        self.classes = self.table
        self.first = first
        self.size = size
        self.floor = floor
        self.mask = mask
        self.reading = reading
        self.loose = False
        self.key_start = self.key_end = 0
        self.short = False
        self.start = self.end = self.tried = 0
        if not cython.compiled:
            self.group, self.stop, self.gap, self.count = [0] * 12, [0] * 12, [0] * 12, [0] * 12
            self.digits = [0] * 32


if not cython.compiled:

    def get(r: Reader, p: int) -> int:
        """The byte at `p`, which the caller knows to lie between `first` and `size`."""
        return r.text[p]

    def peek(r: Reader, p: int) -> int:
        """The byte at `p`; at the end 0, and `short` is set."""
        if p >= r.size:
            r.short = True
            return 0
        return r.text[p]

    def prior(r: Reader, p: int) -> int:
        """The byte before `p`, or 0 where a span or an escape ended there."""
        return r.text[p - 1] if p > r.floor else 0

    def has(r: Reader, c: int, bits: int) -> bool:
        """Whether byte `c` is in one of the classes."""
        return (r.classes[c] & bits) != 0


@cython.cfunc
def escapes(r: Reader, c: cython.uchar) -> cython.bint:
    """Whether a backslash and `c` after it are an escape."""
    return r.reading == JSON or c == 0x6E or c == 0x74 or c == 0x72 or c == 0x62 or c == 0x66


@cython.cfunc
def wide_before(r: Reader, p: cython.Py_ssize_t, low: cython.Py_ssize_t) -> cython.bint:
    """Whether a letter of two bytes ends before `p`: Latin, Greek, Cyrillic and other scripts with spaces."""
    return p - 2 >= low and 0x80 <= get(r, p - 1) < 0xC0 and 0xC3 <= get(r, p - 2) < 0xE0


@cython.cfunc
def joined(r: Reader, p: cython.Py_ssize_t) -> cython.bint:
    """Whether a number at `p` goes on what stands before it: a word, or a part with digits and a hyphen or point."""
    c: cython.uchar = prior(r, p)
    low: cython.Py_ssize_t = max(r.floor, p - 14)
    if has(r, c, ALNUM) or c == 0x5F:
        return True
    if c == 0x2D or c == 0x2E:
        p -= 1
        while p > low:
            p -= 1
            c = get(r, p)
            if 0x30 <= c <= 0x39:
                return True
            if not has(r, c, LETTER):
                return False
    return False


@cython.cfunc
def meaning(r: Reader, p: cython.Py_ssize_t, window: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """What the nearest word of WORDS in the `window` bytes before `p` says of a number, or 0. Before a text stands its
    key.
    """
    if r.loose:
        return PHONE_WORD | SSN_WORD
    said: cython.Py_ssize_t = _nearest(r, p, max(r.first, p - window))
    left: cython.Py_ssize_t = window - (p - r.first)
    if not said and r.key_end and left > 0:
        said = _nearest(r, r.key_end, max(r.key_start, r.key_end - left))
    return said


@cython.cfunc
def _nearest(r: Reader, p: cython.Py_ssize_t, low: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """What the nearest word of WORDS between `low` and `p` says, or 0."""
    end: cython.Py_ssize_t
    said: cython.Py_ssize_t
    skipped: cython.Py_ssize_t
    c: cython.uchar
    while p > low:
        end = p
        while p > low:
            c = get(r, p - 1)
            if has(r, c, LETTER):
                p -= 1
                # A capital after a small letter begins a word: phoneNumber, and what follows the n of an escape.
                if c < 0x61 and p > low and 0x61 <= get(r, p - 1) <= 0x7A:
                    break
            elif wide_before(r, p, low):
                p -= 2
            else:
                break
        if p < end:
            skipped = 1 if r.reading and p > low and get(r, p - 1) == 0x5C and escapes(r, get(r, p)) else 0
            said = WORDS.get(r.data[p + skipped : end].lower(), 0)
        else:
            # Words of two characters of three bytes each.
            said = WORDS.get(r.data[p - 6 : p], 0) if get(r, p - 1) >= 0x80 and p - 6 >= low else 0
            p -= 1
        if said:
            return said
    return 0


@cython.cfunc
def meaning_after(r: Reader, p: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """What the word at most three spaces, hyphens or the like after `p` says of the number before it, or 0."""
    limit: cython.Py_ssize_t = p + 3
    end: cython.Py_ssize_t
    while p < limit and peek(r, p) in (0x20, 0x2D, 0x28, 0x2C):
        p += 1
    end = p
    while end < p + 12 and has(r, peek(r, end), LETTER):
        end += 1
    return WORDS.get(r.data[p:end].lower(), 0) if end > p else 0


def has_unicode_escapes(data: bytes) -> bool:
    r"""Whether a ``\u`` escape stands in these JSON bytes, so that they must be decoded before they are scanned."""
    at: cython.Py_ssize_t = data.find(b"\\u")
    p: cython.Py_ssize_t
    while at >= 0:
        p = at
        while p > 0 and data[p - 1] == 0x5C:
            p -= 1
        if (at - p) % 2 == 0:
            return True
        at = data.find(b"\\u", at + 2)
    return False
