"""Personal data and secrets in what a client asks: found, counted, and put out of the request before anybody sees it.

What is looked at is every text of a body (`edge.guard.leaves`); what is found is what `edge._fast.scan_text` finds, as
the text reads when its escapes are resolved. The body that goes on has placeholders in their places, and all other
bytes are the client's.
"""

from __future__ import annotations

import hmac
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from typing import Any

import msgspec

from edge import config
from edge._fast import KINDS, StreamScanner, scan_ranges, scan_text
from edge.errors import UNREADABLE, EdgeError, InternalError, PiiBlocked
from edge.guard.leaves import JSON, KEY, NUMBER, PIECE, Leaf, leaves
from edge.slices import Steps

__all__ = ["AT_ONCE", "Policy", "Redacted", "mode_for", "policies", "redact", "redact_now"]

VERSION = b"1"
"""Of what is found and of what stands for it: answers to what another version made of a request are another's."""
LAXEST: tuple[config.PiiMode, ...] = ("off", "detect", "pseudonymize", "mask", "block")
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LETTERS = 10
"""Of a pseudonym: 43 bits. No word, and no number, comes of them."""
AT_ONCE = 16384
"""Bytes of a body that is looked through in one go: a millisecond or two."""
PER_LEAF = 512
"""Bytes whose reading takes as long as what is done about any string."""
MAX_WHOLE = 1 << 20
"""Bytes of a string that are decoded in one go, if it has to be."""
Span = tuple[int, int, int]
SPACING = re.compile(r"[\s().\-]+")
SPACED = frozenset({"phone", "ssn", "card", "iban"})
"""Kinds of which the same value is written with separators and without."""

_read = msgspec.json.Decoder(str).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def mode_for(settings: config.PiiMode, *overrides: config.PiiMode | None) -> config.PiiMode:
    """The mode in force: the configuration's, unless a key or models have one; the strictest where several do."""
    given = [mode for mode in overrides if mode is not None]
    return max(given, key=LAXEST.index) if given else settings


class Policy:
    """What is done about requests: ``mode``, for the kinds in ``mask``. ``version`` tells it from all others."""

    def __init__(self, mode: config.PiiMode, settings: config.Pii, secret: bytes = b"") -> None:
        """`secret` is what pseudonyms are derived with."""
        self.mode = mode
        self.secret = secret
        self.mask = sum(1 << KINDS.index(kind) for kind in set(settings.kinds))
        self._allowed = frozenset(text for value in settings.allow for text in (folded(value), closed(value)))
        self.version = sha256(_encode([VERSION.decode(), mode, self.mask, sorted(self._allowed)])).digest()

    def allows(self, kind: int, text: str) -> bool:
        """Whether the operator has said that this value is nobody's secret."""
        if not self._allowed:
            return False
        return folded(text) in self._allowed or (KINDS[kind] in SPACED and closed(text) in self._allowed)


def folded(text: str) -> str:
    return text.strip().casefold()


def closed(text: str) -> str:
    return SPACING.sub("", text).casefold()


def policies(settings: config.Pii, secret: config.Secret | None = None) -> dict[config.PiiMode, Policy | None]:
    """The policy of each mode."""
    key = secret.reveal().encode() if secret is not None else b""
    return {mode: None if mode == "off" else Policy(mode, settings, key) for mode in LAXEST}


class Redacted:
    """What has been found in a body of a tenant: ``counts`` by kind, in the order of `KINDS`. ``body`` is what goes on,
    ``originals`` what its pseudonyms stand for.
    """

    def __init__(self, policy: Policy, body: bytes, tenant: str = "") -> None:
        self.policy = policy
        self.body = body
        self.originals: dict[str, str] = {}
        self._tenant = tenant
        self.counts = [0] * len(KINDS)

    @property
    def told(self) -> str:
        """``email=2,card=1``, "" for nothing: fit for a header and a log."""
        return ",".join([f"{kind}={count}" for kind, count in self.findings()])

    def findings(self) -> list[tuple[str, int]]:
        return [(kind, count) for kind, count in zip(KINDS, self.counts, strict=True) if count]

    def stand_in(self, kind: int, text: str) -> str | None:
        """What stands for what was found; None for what is allowed."""
        if self.policy.allows(kind, text):
            return None
        self.counts[kind] += 1
        return self._pseudonym(kind, text) if self.policy.mode == "pseudonymize" else f"[{KINDS[kind].upper()}]"

    def _pseudonym(self, kind: int, text: str) -> str:
        """The same for the same value of the same tenant, for whoever has the secret."""
        name, number = KINDS[kind].upper(), 0
        while True:
            said = _encode([self._tenant, name, text, number])
            digest = int.from_bytes(hmac.digest(self.policy.secret, said, "sha256"), "big")
            letters = ""
            for _ in range(LETTERS):
                digest, letter = divmod(digest, len(ALPHABET))
                letters += ALPHABET[letter]
            pseudonym = f"[{name}_{letters}]"
            if self.originals.setdefault(pseudonym, text) == text:
                return pseudonym
            number += 1

    def refusal(self) -> EdgeError | None:
        """Why the request goes no further, if it does not."""
        if self.policy.mode != "block" or not self.told:
            return None
        return PiiBlocked(f"The request has personal data or secrets in it, which may not be sent: {self.told}.")


def redact_now(policy: Policy, body: bytes, tenant: str = "") -> Redacted:
    """`redact` in one go. Raises InternalError for any defect: what has not been looked through is not sent."""
    steps = redact(policy, body, tenant)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        made: Redacted = end.value
        return made
    except Exception as defect:
        raise InternalError from defect


def redact(policy: Policy, body: bytes, tenant: str = "") -> Steps[Redacted]:
    """What becomes of a JSON body that has been found sound."""
    made = Redacted(policy, body, tenant)
    # Most have nothing in them, and one pass over the whole says so. Escapes could hide it.
    if len(body) > PIECE or _hides(body, 0, len(body)) or scan_text(body, policy.mask, json=True):
        changed = yield from _changed(made, body, data=False)
        if changed is not None and policy.mode != "detect":
            made.body = changed
    return made


def _changed(made: Redacted, body: bytes, *, data: bool) -> Steps[bytes | None]:
    """JSON with placeholders; None where nothing is to be changed."""
    edits: list[tuple[int, int, bytes]] = []
    plain: list[tuple[int, int]] = []
    waiting = 0
    keys: dict[int, dict[bytes, int]] = {}
    for leaf in leaves(body, data=data):
        if leaf is None:
            yield
            continue
        cuts = leaf.cuts
        start, end = cuts[0], cuts[-1]
        if (leaf.what == JSON or _opens(body, start, end)) and (
            inner := (yield from _inner(made, body, start, end))
        ) is not None:
            edits += inner
        elif leaf.what == NUMBER or leaf.what == KEY:
            edits += _whole(made, body, leaf, keys)
        elif len(cuts) > 2 and (end - start > MAX_WHOLE or body.find(b"\\\\", start, end) < 0):
            edits += yield from _long(made, body, cuts)
        elif _hides(body, start, end):
            edits += _escaped(made, body, start, end)
        else:
            plain.append((start, end))
        waiting += end - start + PER_LEAF
        if waiting > PIECE:
            edits += _plain(made, body, plain)
            plain.clear()
            waiting = 0
            yield
    edits += _plain(made, body, plain)
    if not edits:
        return None
    edits.sort()
    parts: list[bytes] = []
    at = 0
    for start, end, new in edits:
        parts += (body[at:start], new)
        at = end
    parts.append(body[at:])
    return b"".join(parts)


def _hides(body: bytes, start: int, end: int) -> bool:
    """Whether there are escapes by which text can look like another; a backslash may begin one in JSON within it."""
    if body.find(b"\\", start, end) < 0:
        return False
    return any(body.find(escape, start, end) >= 0 for escape in (b"\\u", b"\\\\", b"\\/"))


def _opens(body: bytes, start: int, end: int) -> bool:
    """Whether a string begins as JSON does that is worth being kept as such."""
    return end - start <= MAX_WHOLE and body[start] in b"{[" and body[end - 1] in b"}]"


def _plain(made: Redacted, body: bytes, ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int, bytes]]:
    """Of strings as they stand."""
    for start, end, kind in scan_ranges(body, ranges, made.policy.mask, json=True):
        new = made.stand_in(kind, _read(b'"%b"' % body[start:end]))
        if new is not None:
            yield start, end, new.encode()


def _escaped(made: Redacted, body: bytes, start: int, end: int) -> list[tuple[int, int, bytes]]:
    """Of a string with escapes that could hide something."""
    text = _read(b'"%b"' % body[start:end]).encode()
    spans = scan_text(text, made.policy.mask)
    if b"\\" in text:  # JSON, or code, in which what follows an escape begins a word
        spans = _joined(spans, scan_text(text, made.policy.mask, json=True))
    parts: list[str] = []
    at, changed = 0, False
    for first, last, kind in spans:
        found = text[first:last].decode()
        new = made.stand_in(kind, found)
        changed = changed or new is not None
        parts += (text[at:first].decode(), found if new is None else new)
        at = last
    if not changed:
        return []
    return [(start, end, _encode("".join(parts) + text[at:].decode())[1:-1])]


def _joined(one: list[Span], other: list[Span]) -> list[Span]:
    """What either has found; what both have, in both its extents."""
    joined: list[Span] = []
    for start, end, kind in sorted(one + other):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]), joined[-1][2])
        else:
            joined.append((start, end, kind))
    return joined


def _long(made: Redacted, body: bytes, cuts: list[int]) -> Steps[list[tuple[int, int, bytes]]]:
    """Of a string that is looked at a piece at a time."""
    scanner = StreamScanner(made.policy.mask)
    characters = getincrementaldecoder("utf-8")()
    parts: list[bytes] = []
    changed, before = False, -1
    for start, end in [*pairwise(cuts), (0, 0)]:
        found = scanner.feed(_read(b'"%b"' % body[start:end]).encode()) if end else scanner.flush()
        for data, kind in found:
            text = characters.decode(data)
            if kind >= 0 and kind == before:
                continue  # more of a secret that is longer than is held back
            new = made.stand_in(kind, text) if kind >= 0 else None
            before = -1 if new is None else kind
            changed = changed or new is not None
            parts.append(_encode(text if new is None else new)[1:-1])
        yield
    return [(cuts[0], cuts[-1], b"".join(parts))] if changed else []


def _whole(made: Redacted, body: bytes, leaf: Leaf, keys: dict[int, dict[bytes, int]]) -> list[tuple[int, int, bytes]]:
    """Of a key, or of a number, which a text stands for afterwards."""
    start, end = leaf.cuts[0], leaf.cuts[-1]
    if leaf.what == NUMBER:
        for first, last, kind in scan_text(body[start:end], made.policy.mask):
            if last - first == end - start and (new := made.stand_in(kind, body[start:end].decode())) is not None:
                return [(start, end, _encode(new))]
        return []
    edits = _escaped(made, body, start, end)
    taken = keys.setdefault(leaf.siblings, {})  # with the number that the next of the name begins at
    for index, (first, last, written) in enumerate(edits):
        number, name = taken.get(written, 1), written
        while name in taken:  # two keys must not become one
            number += 1
            name = written + b" %d" % number
        taken[name] = taken.get(name, 1)
        taken[written] = number
        edits[index] = (first, last, name)
    return edits


def _inner(made: Redacted, body: bytes, start: int, end: int) -> Steps[list[tuple[int, int, bytes]] | None]:
    """Of a string that is JSON itself, and is to be JSON afterwards; None where it is none."""
    try:
        inner: str = _read(b'"%b"' % body[start:end])
        value: Any = _decode(inner)
    except UNREADABLE:
        return None
    del value
    changed = yield from _changed(made, inner.encode(), data=True)
    return [] if changed is None else [(start, end, _encode(changed.decode())[1:-1])]
