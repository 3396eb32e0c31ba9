"""Bodies of requests that came before: a client sends the same JSON again, but for its texts and whole numbers.

A `KnownBody` is made of a body whose scan is done, and has gaps where the texts and whole numbers of its values stand
(`edge._fast._skeleton`). Whatever fits it is scanned as that body was: all beside the gaps is the same byte by byte, so
it has the same keys in the same places, spelled in the same way, and in a gap nothing fits that the scan would refuse.
"""

from __future__ import annotations

from collections import deque

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
    from cython.cimports.edge._fast._body_text_c import BodyText
    from cython.cimports.edge._fast._json_scanned_c import Scanned
    from cython.cimports.edge._fast._measure_c import Measure
    from cython.cimports.edge._fast._skeleton_c import Skeleton
    from cython.cimports.edge._fast._walk_c import Walk
    from cython.cimports.libc.string import memcmp

    from edge._fast._json_strings_c import JSONError
else:
    from edge._fast._body_text import BodyText
    from edge._fast._json_scanned import Scanned
    from edge._fast._json_strings import JSONError
    from edge._fast._measure import Measure
    from edge._fast._skeleton import Skeleton
    from edge._fast._walk import Walk

__all__ = ["KEPT", "MAX_KNOWN", "MOST_TOPS", "KnownBodies", "KnownBody"]

KEPT = 4
"""So many bodies are known of one head."""
MAX_KNOWN = 256
"""So many are known of all heads: about 6 MB, since one has at most 8 KiB beside its gaps, `MOST_TOPS` keys, and 8 KiB
of words (`edge._fast._measure.LONGEST_WORD`)."""
MOST_TOPS = 64
"""Top-level keys of a body that is kept: 64 bytes each. No API has as many fields."""
LONGEST_REST = 64
"""So many bodies are left alone at a time, at most."""
HOPES = 8
"""So many of those that are left alone are looked at after one that was learnt or known: another may be like that."""

_KEPT = cython.declare(cython.Py_ssize_t, KEPT)
# As `Scanned` has them: how many top-level keys it has room for in itself, and how many bytes are kept of each.
_FEW_TOPS = cython.declare(cython.Py_ssize_t, 16)
_TOP = cython.declare(cython.Py_ssize_t, 32)
_MOST_TOPS = cython.declare(cython.Py_ssize_t, MOST_TOPS)
_LONGEST_REST = cython.declare(cython.Py_ssize_t, LONGEST_REST)
_HOPES = cython.declare(cython.Py_ssize_t, HOPES)
_known: deque[KnownBodies] = deque()
"""Whose bodies are known, each once for each, in the order in which they were learnt."""


@cython.final
@cython.cclass
class Outline(Walk):  # type: ignore[misc]
    """Finds the gaps of a body."""

    @cython.cfunc
    def of(self, body: bytes) -> Skeleton:
        """None where there are too many to be kept, or too much beside them."""
        try:
            self._begin(body)
            self._next()
            return self._skeleton() if self._skip() and self._next() < 0 else None
        except JSONError:  # more of a number or of levels than a walk goes over
            return None
        finally:
            self._end()


_outline = cython.declare(Outline, Outline())


@cython.cfunc
@cython.exceptval(-1, check=False)
def _is_escaped(scan: Scanned) -> cython.bint:
    """Whether the name of a top-level key has escapes: these are found by another way, and rare."""
    places: list = scan.places
    return b"\\" in b"".join([scan._body[places[i] : places[i + 1]] for i in range(0, len(places), 4)])


@cython.final
@cython.cclass
class KnownBody:
    """What a scan, which is done, has found, for whatever is like its body. ``stream`` and ``include_usage`` are what
    all such bodies ask for; ``model`` is that of the one scanned last, if its name was accepted before, else "".
    """

    def __init__(self, scan: Scanned, skeleton: Skeleton, stream: bool, include_usage: bool) -> None:
        self.stream = stream
        self.include_usage = include_usage
        self.model = self._accepted = ""
        self._name = b""
        self._again = self._sought = False
        self._text: BodyText | None = None
        self._skeleton = skeleton
        self._values = scan.values
        self._repeated = scan.repeated
        self._named = -1
        self._name_at = self._name_end = 0
        tops: list = scan.places
        self._count = len(tops) // 4
        # Of each place that the scan kept: after which gap it comes, and how far behind its end.
        if cython.compiled:
            self._places = PyByteArray_FromStringAndSize(cython.NULL, 16 * len(tops))
            places: cython.p_longlong = cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._places))
        else:
            self._places = places = [0] * (2 * len(tops))
        gap: cython.int = -1
        i: cython.Py_ssize_t
        at: cython.Py_ssize_t
        for i in range(len(tops)):  # in the order in which they stand
            at = tops[i]
            while gap + 1 < skeleton.gaps and skeleton.ends[gap + 1] <= at:
                gap += 1
            places[2 * i] = gap
            places[2 * i + 1] = at - skeleton.ends[gap] if gap >= 0 else at
            if i % 4 == 0 and scan._body[at : tops[i + 1]] == b"model":
                self._named = i // 4

    @cython.ccall
    def scan(self, body: bytes) -> Scanned:
        """That of a body that has just fitted."""
        found: Scanned = Scanned.__new__(Scanned)
        found.of(body)
        found.values = self._values
        found.repeated = self._repeated
        i: cython.Py_ssize_t
        if cython.compiled:
            if self._count > _FEW_TOPS:
                found._tops = PyByteArray_FromStringAndSize(cython.NULL, self._count * _TOP)
            top: cython.p_longlong = found._top()
            for i in range(4 * self._count):
                top[i] = self._place(i)
            found._count = self._count
        else:
            for i in range(0, 4 * self._count, 4):
                found.keep(self._place(i), self._place(i + 1), self._place(i + 2), self._place(i + 3))
        if self._named >= 0:
            self._name_at = self._place(4 * self._named + 2)
            self._name_end = self._place(4 * self._named + 3)
        self.model = self._accepted if self._named >= 0 and self._is_same(body) else ""
        if not self._sought:
            found.unsized = True
        elif self._text is not None:
            self._text.measure(self._skeleton, body, found)
        return found

    @cython.cfunc
    def _seek(self, body: bytes, read: Measure | None) -> object:
        """Note by which gaps the text is measured of `body`, which has just fitted, if it is by the same in others."""
        skeleton: Skeleton = self._skeleton
        i: cython.int
        self._sought = True
        if read is None or not read.steady or read._gaps != skeleton.gaps:
            return None
        for i in range(skeleton.gaps):
            if read._ends[i] != skeleton.ends[i]:
                return None
        self._text = BodyText(read, skeleton, body)
        return None

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _place(self, number: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where that place is in the body that has just fitted."""
        places: cython.p_longlong
        if cython.compiled:
            places = cython.cast(cython.p_longlong, PyByteArray_AS_STRING(self._places))
        else:
            places = self._places
        gap: cython.Py_ssize_t = places[2 * number]
        behind: cython.Py_ssize_t = places[2 * number + 1]
        return behind + self._skeleton.ends[gap] if gap >= 0 else behind

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _is_same(self, body: bytes) -> cython.bint:
        """Whether the model is written as the one that was accepted last."""
        if not cython.compiled:
            return body[self._name_at : self._name_end] == self._name
        size: cython.Py_ssize_t = self._name_end - self._name_at
        if size != PyBytes_GET_SIZE(self._name):
            return False
        return memcmp(PyBytes_AS_STRING(body) + self._name_at, PyBytes_AS_STRING(self._name), size) == 0

    @cython.ccall
    def accept(self, body: bytes, model: str) -> object:
        """`model` is a good name, and the one in `body`, which was scanned last."""
        self._name = body[self._name_at : self._name_end]
        self._accepted = model
        return None


@cython.final
@cython.cclass
class KnownBodies:
    """Those that came with one head. One that is like none of them is learnt, but the more were learnt in vain, the
    more are left alone after each: a talk that grows with each request has another form each time. Others that are
    known may come between.
    """

    def __init__(self) -> None:
        self._bodies: list[KnownBody] = []
        self._left_alone = self._rest = self._hopes = 0
        self._wanted = False

    @cython.ccall
    def find(self, body: bytes) -> KnownBody:
        """The one that a body is like; None for none."""
        known: KnownBody
        i: cython.Py_ssize_t
        self._wanted = self._left_alone == 0
        if not self._wanted:
            if self._hopes == 0:
                self._left_alone -= 1
                return None  # type: ignore[return-value]
            self._hopes -= 1
        for i in range(len(self._bodies)):
            known = self._bodies[i]
            try:
                if not known._skeleton.fits(body):
                    continue
            except JSONError:
                self._wanted = False
                return None  # type: ignore[return-value] # the scan says why
            if i:
                del self._bodies[i]
                self._bodies.insert(0, known)
            if not known._again:
                known._again = True  # it was not learnt in vain
                self._rest //= 4
                self._left_alone = min(self._left_alone, self._rest)
            self._hopes = _HOPES
            self._wanted = False
            return known
        if not self._wanted:
            self._left_alone -= 1
        return None  # type: ignore[return-value]

    @cython.ccall
    def learn(self, scan: Scanned, stream: cython.bint, include_usage: cython.bint) -> object:
        """The body that none was found for, once it is known to be good."""
        if not self._wanted:
            return None
        self._wanted = False
        self._left_alone = self._rest
        self._hopes = _HOPES
        self._rest = min(_LONGEST_REST, 2 * self._rest + 1)
        if scan._count > _MOST_TOPS or _is_escaped(scan):
            return None
        skeleton: Skeleton = _outline.of(scan._body)
        if skeleton is None:
            return None
        if len(self._bodies) >= _KEPT:
            self._bodies.pop()
        self._bodies.insert(0, KnownBody(scan, skeleton, stream, include_usage))
        _known.append(self)
        if len(_known) > MAX_KNOWN:
            oldest: KnownBodies = _known.popleft()
            if oldest._bodies:
                oldest._bodies.pop()
        return None

    @cython.ccall
    def size(self, body: bytes, read: Measure | None) -> object:
        """The text of `body`, which one of these is like, has just been measured: None where it could not be. From now
        on, that of others like it is known by that.
        """
        known: KnownBody
        i: cython.Py_ssize_t
        for i in range(len(self._bodies)):
            known = self._bodies[i]
            if not known._sought and known._skeleton.fits(body):
                known._seek(body, read)
                return None
        return None
