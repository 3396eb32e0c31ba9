"""Personal data and secrets in what a client asks: found, counted, and put out of the request before anybody sees it.

What is looked at is every text of a body (`edge.guard.leaves`); what is found is what `edge._fast.scan_text` finds, as
the text reads when its escapes are resolved. The body that goes on has placeholders in their places, and all other
bytes are the client's.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator
from io import BytesIO
from itertools import chain, pairwise

import msgspec

from edge._fast import KINDS, JSONError, JSONScanner, StreamScanner, may_have, scan_ranges
from edge.errors import EdgeError, PiiBlocked
from edge.guard.custom import Customs, Pieces
from edge.guard.disguise import Plain, Seen, is_disguised
from edge.guard.leaves import END, JSON, KEY, NUMBER, PAUSE, PIECE, TEXT, Leaf, Leaves
from edge.guard.policy import Policy
from edge.slices import Steps, finished

__all__ = ["SECRET", "Redacted", "looked_through", "may_be_in", "redact", "redact_now"]

AT_A_TIME = 32
"""Findings for which something is made to stand in one go."""
FED = PIECE // 4
"""Bytes of a long text that are looked at in one go: all of them may be findings, which take microseconds each."""
PER_LEAF = 512
"""Bytes whose reading takes as long as what is done about any string."""
Names = dict[int, dict[bytes, int]]
SECRET = KINDS.index("secret")

_read = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class Redacted:
    """What has been found in a body of a tenant: ``counts`` by kind, in the order of the policy's. ``body`` is what
    goes on, ``originals`` what its pseudonyms stand for.
    """

    def __init__(self, policy: Policy, body: bytes, tenant: str = "") -> None:
        self.policy = policy
        self.body = body
        self.originals: dict[str, str] = {}
        self._tenant = tenant
        self.counts = [0] * len(policy.kinds)

    @property
    def told(self) -> str:
        """``email=2,card=1``, "" for nothing: fit for a header and a log."""
        return ",".join([f"{kind}={count}" for kind, count in self.findings()])

    def findings(self) -> list[tuple[str, int]]:
        return [(kind, count) for kind, count in zip(self.policy.kinds, self.counts, strict=True) if count]

    def change(self, body: bytes | None) -> None:
        """It is this one with placeholders, None for none."""
        if body is not None and self.policy.mode != "detect":
            self.body = body

    def stand_in(self, kind: int, text: str) -> str | None:
        """What stands for what was found; None for what is allowed."""
        if self.policy.allows(kind, text):
            return None
        self.counts[kind] += 1
        return (
            self._pseudonym(kind, text)
            if self.policy.mode == "pseudonymize"
            else f"[{self.policy.kinds[kind].upper()}]"
        )

    def custom(self, index: int, text: str) -> str | None:
        """What stands for what the configuration has named."""
        return self.stand_in(len(KINDS) + index, text)

    def _pseudonym(self, kind: int, text: str) -> str:
        number = 0
        while True:
            pseudonym = self.policy.pseudonym(kind, text, self._tenant, number)
            if self.originals.setdefault(pseudonym, text) == text:
                return pseudonym
            number += 1

    def refusal(self) -> EdgeError | None:
        """Why it goes no further, if it does not."""
        if self.policy.mode != "block" or not self.told:
            return None
        return PiiBlocked(f"The request has personal data or secrets in it, which may not be sent: {self.told}.")


def redact_now(policy: Policy, body: bytes, tenant: str = "") -> Redacted:
    """`redact` in one go."""
    return finished(redact(policy, body, tenant))


def redact(policy: Policy, body: bytes, tenant: str = "") -> Steps[Redacted]:
    """What becomes of a JSON body that has been found sound."""
    made = Redacted(policy, body, tenant)
    if may_be_in(body, policy):
        made.change((yield from _changed(made, body, data=False)))
    return made


def looked_through(policy: Policy, body: bytes) -> Steps[Redacted]:
    """The same for what need not be JSON."""
    made = Redacted(policy, body)
    clean = not may_be_in(body, policy)
    if clean and b"\\" not in body:  # which hides in JSON what it does not hide elsewhere
        return made
    if (yield from _is_json(body)):
        if not clean:
            made.change((yield from _changed(made, body, data=False)))
    else:
        parts = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
        made.change((yield from _long(made, b"", parts, quoted=False)))
    return made


def may_be_in(body: bytes, policy: Policy) -> bool:
    """Whether there may be anything in JSON. Most has nothing, and one pass over the whole says so, if it is short and
    has no escapes or disguises that could hide it.
    """
    if policy.customs is not None or len(body) > PIECE or _hides(body, 0, len(body)) or is_disguised(body):
        return True
    return may_have(body, policy.mask)


class Edited:
    """A text that is being changed from its beginning to its end."""

    __slots__ = ("_at", "_out", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0
        self._out: BytesIO | None = None

    def replace(self, start: int, end: int, new: bytes) -> None:
        if self._out is None:
            self._out = BytesIO()
        self._out.write(self._text[self._at : start])
        self._out.write(new)
        self._at = end

    def whole(self) -> bytes | None:
        """The text as it is then; None where nothing was replaced."""
        if self._out is None:
            return None
        self._out.write(self._text[self._at :])
        return self._out.getvalue()


def _changed(made: Redacted, body: bytes, *, data: bool) -> Steps[bytes | None]:
    """JSON with placeholders; None where nothing is to be changed."""
    edited = Edited(body)
    texts = Leaves(body, data=data)
    plain: list[Leaf] = []
    names: Names = {}
    work = start = end = 0
    customs = made.policy.customs
    while True:
        leaf = texts.next()
        what = leaf.what
        if what == PAUSE:
            yield
            continue
        if what != END:
            cuts = leaf.cuts
            start, end = cuts[0], cuts[-1]
            work += end - start + PER_LEAF
        stands = what != END and _stands(body, leaf, customs)
        if stands:
            plain.append(leaf)
        if plain and (work > PIECE or not stands):
            yield from _plain(made, body, plain, edited, names)
            plain = []
        if work > PIECE:
            work = 0
            yield
        if what == END:
            return edited.whole()
        if stands:
            continue
        new: bytes | None
        if what == NUMBER:
            word = (
                made.custom(customs.find(body[start:end].decode())[0][2], body[start:end].decode()) if customs else None
            )
            new = None if word is None else b'"%b"' % word.encode()
        elif what == KEY:
            new = _renamed(made, body, leaf, names)
        elif _in_parts(body, leaf):
            new = yield from _parts(made, body, leaf)
        else:
            new = yield from _escaped(made, body, leaf)
        if new is not None:
            edited.replace(start, end, new)


def _stands(body: bytes, leaf: Leaf, customs: Customs | None) -> bool:
    """Whether a text, or a number, is looked at as it stands."""
    start, end = leaf.cuts[0], leaf.cuts[-1]
    if leaf.what == NUMBER:
        found = customs.find(body[start:end].decode()) if customs is not None else []
        return not found or found[0][:2] != (0, end - start)
    return (
        customs is None
        and not _in_parts(body, leaf)
        and not _hides(body, start, end)
        and not is_disguised(body[start:end])
    )


def _hides(body: bytes, start: int, end: int) -> bool:
    """Whether there are escapes by which text can look like another; a backslash may begin one in JSON within it."""
    if body.find(b"\\", start, end) < 0:
        return False
    for escape in (b"\\u", b"\\\\", b"\\/"):  # noqa: SIM110 - no closure in what is compiled
        if body.find(escape, start, end) >= 0:
            return True
    return False


def _in_parts(body: bytes, leaf: Leaf) -> bool:
    """Whether a string is too long to be looked at in one go, or begins as JSON does, and is kept as such."""
    what, cuts = leaf.what, leaf.cuts
    if what == JSON or len(cuts) > 2:
        return True
    return what == TEXT and body[cuts[0]] in b"{[" and body[cuts[-1] - 1] in b"}]"


def _plain(made: Redacted, body: bytes, leaves: list[Leaf], edited: Edited, names: Names) -> Steps[None]:
    """Of strings and numbers as they stand."""
    at, named = 0, -1
    ranges = [(leaf.cuts[0], leaf.cuts[-1], leaf.key_start, leaf.key_end) for leaf in leaves]
    for found, (start, end, kind) in enumerate(scan_ranges(body, ranges, made.policy.mask, json=True), 1):
        while ranges[at][1] < end:
            at += 1
        leaf = leaves[at]
        new: bytes | None = None
        if leaf.what == KEY:
            start, end = ranges[at][0], ranges[at][1]
            if at != named:
                new = _renamed(made, body, leaf, names)
            named = at
        elif leaf.what == NUMBER:
            if start == ranges[at][0] and end == ranges[at][1]:
                word = made.stand_in(kind, _text(body, start, end))
                new = None if word is None else b'"%b"' % word.encode()
        else:
            word = made.stand_in(kind, _text(body, start, end))
            new = None if word is None else word.encode()
        if new is not None:
            edited.replace(start, end, new)
        if found % AT_A_TIME == 0:
            yield


def _text(body: bytes, start: int, end: int) -> str:
    """What a string's bytes mean, or a part's of one."""
    part = body[start:end]
    return _read(b'"%b"' % part) if b"\\" in part else part.decode()


def _escaped(made: Redacted, body: bytes, leaf: Leaf) -> Steps[bytes | None]:
    """Of a string with escapes or disguises that could hide something."""
    meant = _text(body, leaf.cuts[0], leaf.cuts[-1])
    customs = made.policy.customs
    told = meant if customs is None else customs.put_out(meant, made.custom)
    text = told.encode()
    key = body[leaf.key_start : leaf.key_end]
    size = len(key)
    edited = Edited(text)
    plain = Plain(text) if is_disguised(text) else None
    seen = text if plain is None else plain.text
    spans = scan_ranges(key + seen, [(size, size + len(seen), 0, size)], made.policy.mask, code=True)
    for found, (begin, stop, kind) in enumerate(spans, 1):
        start, end = begin - size, stop - size
        if plain is not None:
            start, end = plain.begin(start), plain.end(end)
        new = made.stand_in(kind, text[start:end].decode())
        if new is not None:
            edited.replace(start, end, new.encode())
        if found % AT_A_TIME == 0:
            yield
    changed = edited.whole()
    if changed is None:
        return None if told is meant else _encode(told)[1:-1]
    return _encode(changed.decode())[1:-1]


def _renamed(made: Redacted, body: bytes, leaf: Leaf, names: Names) -> bytes | None:
    """A key of an object with placeholders: another than all its others, `names` being those with the number that the
    next of the name begins at.
    """
    written = finished(_escaped(made, body, leaf))
    if written is None:
        return None
    taken = names.setdefault(leaf.siblings, {})
    number, name = taken.get(written, 1), written
    while name in taken:  # two keys must not become one
        number += 1
        name = written + b" %d" % number
    taken[name] = taken.get(name, 1)
    taken[written] = number
    return name


def _parts(made: Redacted, body: bytes, leaf: Leaf) -> Steps[bytes | None]:
    """Of a string that is long, or is JSON itself and is to be JSON afterwards."""
    parts: list[bytes] = []
    for start, end in pairwise(leaf.cuts):
        parts.append(_text(body, start, end).encode())
        if len(leaf.cuts) > 2:
            yield
    text = parts[0] if len(parts) == 1 else b"".join(parts)
    if (text[:1] in (b"{", b"[") or leaf.what == JSON) and (yield from _is_json(text)):
        changed = yield from _changed(made, text, data=True)
        return None if changed is None else (yield from _quoted(changed))
    if len(parts) == 1:
        return (yield from _escaped(made, body, leaf))
    return (yield from _long(made, body[leaf.key_start : leaf.key_end], parts))


def _is_json(text: bytes) -> Steps[bool]:
    """Whether a text is JSON, whatever value it is."""
    size = len(text)
    scan = JSONScanner(b'{"":%b}' % text, max_number=size, max_values=size + 1, max_keys=size + 1)
    try:
        while not scan.step():
            yield
    except JSONError:
        return False
    return len(scan.spans) == 1  # it has not ended in the middle, and gone on as another member


def _quoted(text: bytes) -> Steps[bytes]:
    """A text as it stands between the quotes of a JSON string."""
    out, at = BytesIO(), 0
    while True:
        end = min(at + PIECE, len(text))
        while end < len(text) and text[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        out.write(_encode(text[at:end].decode())[1:-1])
        if end == len(text):
            return out.getvalue()
        at = end
        yield


def _long(made: Redacted, key: bytes, parts: list[bytes], *, quoted: bool = True) -> Steps[bytes | None]:
    """Of a text that is looked at a piece at a time, as it stands in a JSON string if it is to be `quoted`."""
    counted = made.told
    scanner = Seen(StreamScanner(made.policy.mask, code=True, key=key))
    if made.policy.customs is not None:
        parts = yield from _put_out(made, made.policy.customs, parts)
    characters = getincrementaldecoder("utf-8")("surrogateescape")
    out = BytesIO()
    changed, before, seen = made.told != counted, -1, 0
    for piece in chain(_in_pieces(parts, FED), (None,)):
        for data, kind in scanner.flush() if piece is None else scanner.feed(piece):
            text = characters.decode(data)
            if kind == before == SECRET:
                continue  # more of a secret that is longer than is held back
            new = made.stand_in(kind, text) if kind >= 0 else None
            before = -1 if new is None else kind
            changed = changed or new is not None
            said = text if new is None else new
            out.write(_encode(said)[1:-1] if quoted else said.encode("utf-8", "surrogateescape"))
            seen += 1
            if seen % AT_A_TIME == 0:
                yield
        yield
    return out.getvalue() if changed else None


def _in_pieces(parts: list[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of at most so many."""
    for part in parts:
        for at in range(0, len(part), size):
            yield part[at : at + size]


def _put_out(made: Redacted, customs: Customs, parts: list[bytes]) -> Steps[list[bytes]]:
    """A text in parts, without what the configuration has named."""
    pieces = Pieces(customs)
    characters = getincrementaldecoder("utf-8")("surrogateescape")
    new: list[bytes] = []
    for number, part in enumerate(parts, 1):
        last = number == len(parts)
        told: list[str] = []
        for text, index in pieces.feed(characters.decode(part, last), last):
            word = made.custom(index, text) if index >= 0 else None
            told.append(text if word is None else word)
        new.append("".join(told).encode("utf-8", "surrogateescape"))
        yield
    return new
