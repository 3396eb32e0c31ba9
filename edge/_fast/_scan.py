r"""Personal data and secrets in text: one pass over its bytes, in time linear in their number.

The pass stops only at bytes from which something could be recognised (digits, ``@ : - _ J K S z``, the word bearer);
what a recogniser reads from there is bounded, secrets excepted, which are consumed when they match.

Spans are byte offsets. Overlaps: what begins at the earlier stop wins (an e-mail's stop is its ``@``, an IPv6 address's
its first colon, a secret's the end of its prefix, a number's its first digit); then, at one digit, the first of iban,
card, ip, ssn, phone; within a kind the longest. Nothing inside a span is looked at again. A kind outside the mask is
not looked for, and hides nothing.

In JSON (`json=True`) the bytes are read as they stand: a backslash and the byte after it are a boundary, and so is a
quotation mark. A body where `has_unicode_escapes` says yes must be decoded first, since ``\u0040`` hides an ``@``. An
escaped slash is a boundary too, except within the values that have slashes: after Bearer, and in a PEM block.

Text that may be code, or JSON (`code=True`), has such boundaries where a backslash and a letter may be an escape.
"""

from __future__ import annotations

import re

from edge._fast.scan_tables import CLASSES

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._scan_addresses_c import email, ip6
    from cython.cimports.edge._fast._scan_numbers_c import number
    from cython.cimports.edge._fast._scan_secrets_c import secret
    from cython.cimports.edge._fast._scan_text_c import (
        CODE,
        EMAIL,
        IP,
        JSON,
        LOCAL,
        PLAIN,
        SECRET,
        VALUE,
        Reader,
        escapes,
        get,
        has,
        peek,
        wide_before,
    )
    from cython.cimports.edge._fast._skip import scan_next
else:
    from edge._fast._scan_addresses import email, ip6
    from edge._fast._scan_numbers import number
    from edge._fast._scan_secrets import secret
    from edge._fast._scan_text import Reader, escapes, get, has, peek, wide_before
    from edge._fast.scan_tables import CODE, EMAIL, IP, JSON, LOCAL, PLAIN, SECRET, VALUE

__all__ = ["ALL", "KINDS", "MIN_HOLD", "StreamScanner", "may_have", "scan_ranges", "scan_text"]

KINDS: tuple[str, ...] = ("email", "phone", "ssn", "card", "iban", "ip", "secret")
"""Bit i of a mask, and the number i in a span, stand for KINDS[i]."""

ALL = (1 << len(KINDS)) - 1

MIN_HOLD = 1024
"""The least a stream can be told to hold back: more than anything but a secret takes, and what is read beside it."""

KEPT = 160
"""How much of what a stream has released it remembers: more than a recogniser looks back."""

CLOSING = 80
"""The longest END line of a PEM block."""

# Only the pure build searches with these; the compiled one has the loops of _skip.pxd.
_STOPS = re.compile(rb"[-0-9:@JKS_z]|[Bb](?:[Ee](?:[Aa]|\Z)|\Z)")
_STOPS_JSON = re.compile(rb"[-0-9:@JKS_z\\]|[Bb](?:[Ee](?:[Aa]|\Z)|\Z)")
_REST = re.compile(b"[^%b]" % re.escape(bytes(c for c in range(256) if CLASSES[c] & VALUE)))


@cython.cfunc
def _recognise(r: Reader, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The kind of what is recognised at this stop, its span being set, or -1 and `end` where to go on."""
    c: cython.uchar = get(r, at)
    if 0x30 <= c <= 0x39:
        return number(r, at)
    if c == 0x40:
        if r.mask & 1 << EMAIL and email(r, at):
            return EMAIL
    elif c == 0x3A:
        if r.mask & 1 << IP and ip6(r, at):
            return IP
    elif c == 0x5C:
        r.end = at + 1
        if escapes(r, peek(r, at + 1)):
            r.floor = r.end = min(at + 2, r.size)
        return -1
    elif r.mask & 1 << SECRET and secret(r, at):
        return SECRET
    r.end = at + 1
    return -1


@cython.cfunc
def _run(r: Reader, at: cython.Py_ssize_t, final: cython.bint, found: list) -> cython.Py_ssize_t:
    """Go on from `at`, adding spans to `found`; return the end, or the stop at which what follows the data would
    matter, unless it is `final`.
    """
    kind: cython.Py_ssize_t
    while True:
        if cython.compiled:
            at = scan_next(r.text, at, r.size, r.reading != PLAIN)
        else:
            match = (_STOPS_JSON if r.reading else _STOPS).search(r.data, at, r.size)
            at = match.start() if match else r.size
        if at >= r.size:
            return r.size
        r.short = False
        kind = _recognise(r, at)
        if r.short and not final:
            r.tried = r.first
            return at
        at = _accept(r, kind, found)
        if r.loose and kind >= 0:
            return at


@cython.cfunc
def _accept(r: Reader, kind: cython.Py_ssize_t, found: list) -> cython.Py_ssize_t:
    """Where to go on after what was recognised, a kind or -1."""
    if kind >= 0:
        found.append((r.start, r.end, kind))
        r.floor = r.end
    return r.end


@cython.cfunc
def _hold(r: Reader, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Before which offset no span can begin any more, when the pass has come to `at`."""
    low: cython.Py_ssize_t = max(r.floor, at - 72)
    p: cython.Py_ssize_t = at
    c: cython.uchar
    # The beginning of a character whose rest is to come may be that of a letter.
    if p > low and get(r, p - 1) >= 0xC0:
        p -= 1
    while p > low:
        c = get(r, p - 1)
        if has(r, c, LOCAL) or c == 0x28:
            p -= 1
        elif wide_before(r, p, low):
            p -= 2
        else:
            break
    return p


def scan_text(
    data: bytes | bytearray | memoryview, mask: int = ALL, *, json: bool = False
) -> list[tuple[int, int, int]]:
    """The spans of what there is in UTF-8 text, or in JSON as it stands, of the kinds in `mask`.

    Each is ``(start, end, kind)``; they are sorted and do not overlap. Linear in ``len(data)``. Raises TypeError for
    what is not bytes-like.
    """
    found: list = []
    text: bytes = data if isinstance(data, bytes) else bytes(memoryview(data))
    r: Reader = Reader(text, 0, len(text), 0, mask & ALL, JSON if json else PLAIN)
    _run(r, 0, True, found)
    return found


def may_have(data: bytes, mask: int = ALL) -> bool:
    """Whether JSON may have something in one of its strings and numbers that `scan_ranges` finds, whatever their keys
    are and whatever else is in it. If not, there is nothing, but for what escapes hide. Linear in ``len(data)``.
    """
    found: list = []
    r: Reader = Reader(data, 0, len(data), 0, mask & ALL, JSON)
    r.loose = True
    _run(r, 0, True, found)
    return bool(found)


def scan_ranges(
    data: bytes | bytearray | memoryview,
    ranges: list[tuple[int, int, int, int]],
    mask: int = ALL,
    *,
    json: bool = False,
    code: bool = False,
) -> list[tuple[int, int, int]]:
    """`scan_text` of each ``data[start:end]`` for itself, without copying; the spans are offsets in `data`. A range
    is ``(start, end, key_start, key_end)``: before the text stand the words of the key in ``data[key_start:key_end]``
    (0, 0 for none), and nothing else does.

    Raises ValueError for a range, or a key, that is not within the data.
    """
    found: list = []
    text: bytes = data if isinstance(data, bytes) else bytes(memoryview(data))
    size: cython.Py_ssize_t = len(text)
    start: cython.Py_ssize_t
    end: cython.Py_ssize_t
    key_start: cython.Py_ssize_t
    key_end: cython.Py_ssize_t
    r: Reader = Reader(text, 0, 0, 0, mask & ALL, JSON if json else CODE if code else PLAIN)
    for start, end, key_start, key_end in ranges:
        if not (0 <= start <= end <= size and 0 <= key_start <= key_end <= size):
            raise ValueError(f"{start} to {end}, or {key_start} to {key_end}, is not within {size} bytes")
        r.first = r.floor = start
        r.size = end
        r.key_start = key_start
        r.key_end = key_end
        r.tried = 0
        _run(r, start, True, found)
    return found


class StreamScanner:
    """`scan_text` of text that comes in pieces, cut anywhere, within a character too.

    `feed` and `flush` return what is certain by then, as pieces ``(bytes, kind)`` in order: text with -1, spans with
    their kind. Joined they are the input; however it was cut, the spans are those of the whole. Held back is what more
    text could make a part of something: mostly the last word.

    No more than `max_hold` bytes are held back. A secret that is longer (nothing else can be) comes in several pieces
    which together cover it, as far as bytes go that a token can have; a PEM block, to its END line, or to the end of
    the stream. Raises ValueError for a `max_hold` below MIN_HOLD.
    """

    def __init__(
        self, mask: int = ALL, max_hold: int = 4096, *, json: bool = False, code: bool = False, key: bytes = b""
    ) -> None:
        """The words of `key` stand before the text."""
        if max_hold < MIN_HOLD:
            raise ValueError(f"at least {MIN_HOLD} bytes are held back")
        self._mask = mask & ALL
        self._max_hold = max_hold
        self._reading = JSON if json else CODE if code else PLAIN
        self._key = key[-KEPT:] + b" " if key else b""
        self._begin()

    def _begin(self) -> None:
        self._kept = self._key
        self._released = self._at = self._floor = len(self._key)
        self._open = 0

    @property
    def held(self) -> int:
        """How many bytes are held back."""
        return len(self._kept) - self._released

    def feed(self, text: bytes) -> list[tuple[bytes, int]]:
        return self._advance(self._kept + text, False)

    def flush(self) -> list[tuple[bytes, int]]:
        """The rest of the stream, which ends here. The next `feed` begins another one."""
        pieces = self._advance(self._kept, True)
        self._begin()
        return pieces

    def _advance(self, data: bytes, final: bool) -> list[tuple[bytes, int]]:
        pieces: list = []
        found: list = []
        size: cython.Py_ssize_t = len(data)
        if self._open:
            self._go_on(data, final, pieces)
            if self._open:
                self._keep(data)
                return pieces
        r: Reader = Reader(data, 0, size, self._floor, self._mask, self._reading)
        at: cython.Py_ssize_t = self._at
        while True:
            at = _run(r, at, final, found)
            safe: cython.Py_ssize_t = size if final else max(_hold(r, at), self._released)
            if at < size and size - safe > self._max_hold:
                r.short = False
                kind: cython.Py_ssize_t = _recognise(r, at)
                at = _accept(r, kind, found)
                if kind != SECRET or not r.short or _REST.search(data, at):
                    continue
                safe = at
                self._open = 2 if data.startswith(b"-----BEGIN ", r.start) else 1
            break
        for start, end, kind in found:
            self._release(data, start, -1, pieces)
            self._release(data, end, kind, pieces)
        self._release(data, safe, -1, pieces)
        self._at = at
        self._floor = r.floor
        self._keep(data)
        return pieces

    def _go_on(self, data: bytes, final: bool, pieces: list[tuple[bytes, int]]) -> None:
        """Release what belongs to the secret that did not end in what was held back."""
        size = end = len(data)
        if self._open == 1:
            rest = _REST.search(data, self._released)
            if rest:
                end = rest.start()
                self._open = 0
        else:
            begin = data.find(b"-----END ", self._released)
            close = data.find(b"-----", begin + 9) if begin >= 0 else -1
            if close >= 0:
                end = close + 5
                self._open = 0
            elif not final:
                end = begin if begin >= 0 and size - begin < CLOSING else max(self._released, size - 9)
        if final:
            self._open = 0
        self._release(data, end, SECRET, pieces)
        self._at = self._floor = end

    def _release(self, data: bytes, end: int, kind: int, pieces: list[tuple[bytes, int]]) -> None:
        if end > self._released:
            pieces.append((data[self._released : end], kind))
            self._released = end

    def _keep(self, data: bytes) -> None:
        cut = max(0, self._released - KEPT)
        self._kept = data[cut:]
        self._released -= cut
        self._at -= cut
        self._floor = max(0, self._floor - cut)
