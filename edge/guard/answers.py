"""Personal data and secrets in what a provider answers: found, counted, and put out before anybody is told.

It is done on the provider's side of the caches, so what is stored and what several get is treated already. A whole
answer is looked through as a request is (`edge.guard.pii`); of a stream, each text as it comes, of which as much waits
as could become a part of something (`edge._fast.StreamScanner`): mostly the last word.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from time import perf_counter
from typing import Any

import msgspec

from edge._fast import StreamScanner
from edge.errors import PiiBlocked
from edge.guard.custom import Pieces
from edge.guard.disguise import Seen
from edge.guard.events import Delta, Events, Filter, deltas_of
from edge.guard.pii import SECRET, Redacted, looked_through, may_be_in
from edge.guard.policy import Policy
from edge.slices import Steps, Work, finished

__all__ = ["Watch"]

ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
CUT_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*+(\\(?:u[0-9a-fA-F]{0,3})?)\Z")
"""An escape that has not come to its end."""
TOGGLE = re.compile(r'\\.|"|\\\Z', re.DOTALL)
"""A backslash at the end escapes what comes next."""
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
OUTSIDE = re.compile(r"[\s{}\[\],:0-9.eE+-]*|\s*(?:true|false|null)\s*")
"""What may stand in JSON where no string is."""
BEFORE = re.compile(r"(?<![\w.+-])-?(?:[0-9][0-9.eE+-]*)?\Z")
"""The beginning of a number."""
TAIL = 32
PROBABILITIES = b'"logprobs"'

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Watch(Events):
    """Over one answer, by one policy. ``took_s`` are the seconds spent on it."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self._policy = policy
        self.changes = policy.mode != "detect"
        self.took_s = 0.0
        self.made = Redacted(policy, b"")
        # A text comes again in the events that end it: of those, the one with most.
        self._again = [0] * len(policy.kinds)

    @property
    def mode(self) -> str:
        return self._policy.mode

    def findings(self) -> list[tuple[str, int]]:
        counts = [max(pair) for pair in zip(self.made.counts, self._again, strict=True)]
        return [(kind, count) for kind, count in zip(self._policy.kinds, counts, strict=True) if count]

    @property
    def told(self) -> str:
        """``response.email=2``, "" for nothing: fit for a header and a log."""
        return ",".join([f"response.{kind}={count}" for kind, count in self.findings()])

    def refuse(self) -> None:
        """Raises PiiBlocked."""
        told = self.told.replace("response.", "")
        raise PiiBlocked(f"The answer has personal data or secrets in it, which may not be sent: {told}.")

    def answer(self, body: bytes) -> Steps[bytes]:
        """What becomes of a whole answer. Raises PiiBlocked."""
        work = Work(looked_through(self._policy, body))
        while not work.step():
            yield
        self.took_s += work.took_s
        self._note(work.result)
        if self.over:
            self.refuse()
        return self._without(work.result.body)

    def feed(self, data: bytes) -> bytes:
        begun = perf_counter()
        told = super().feed(data)
        self.took_s += perf_counter() - begun
        return told

    def end(self) -> bytes:
        begun = perf_counter()
        told = super().end()
        self.took_s += perf_counter() - begun
        return told

    def _note(self, found: Redacted) -> None:
        self._again = [max(pair) for pair in zip(self._again, found.counts, strict=True)]
        self.found(found)

    def found(self, found: Redacted) -> None:
        self.over = self._policy.mode == "block" and any(found.counts)

    def _without(self, data: bytes) -> bytes:
        """Log probabilities are those of what has been put out."""
        if not self.changes or PROBABILITIES not in data:
            return data
        told = _decode(data)
        return _encode(told) if _drop_probabilities(told) else data

    # Of events.

    def filter(self, *, nested: bool) -> Filter:
        return _InJson(self, self._policy) if nested else _Watched(self, self._policy)

    def whole(self, data: bytes) -> bytes:
        found = finished(looked_through(self._policy, data))
        self._note(found)
        return self._without(found.body)

    def beside(self, told: dict[str, Any], deltas: list[Delta], data: bytes) -> bool:
        changed = self.changes and PROBABILITIES in data and _drop_probabilities(told)
        if not may_be_in(data, self._policy):
            return changed
        pieces = [holder[key] for holder, key, *_ in deltas]
        for holder, key, *_ in deltas:
            holder[key] = ""
        rest = _encode(told)
        found = finished(looked_through(self._policy, rest))
        self._note(found)
        if found.body is not rest:
            told.update(_decode(found.body))
            deltas[:] = deltas_of(told)
            changed = True
        for (holder, key, *_), piece in zip(deltas, pieces, strict=True):
            holder[key] = piece
        return changed


def _drop_probabilities(value: Any) -> bool:
    """Empty all log probabilities; whether there are any."""
    dropped = False
    for name, each in value.items() if isinstance(value, dict) else enumerate(value):
        if name == "logprobs" and each and isinstance(each, (dict, list)):
            value[name] = [] if isinstance(each, list) else None
            dropped = True
        elif isinstance(each, (dict, list)):
            dropped = _drop_probabilities(each) or dropped
    return dropped


class _Watched(Filter):
    """A text that anybody may have written, code too."""

    def __init__(self, watch: Watch, policy: Policy) -> None:
        self._watch = watch
        self._scanner = self._begin(policy.mask)
        self._pieces = None if policy.customs is None else Pieces(policy.customs)
        self._characters = getincrementaldecoder("utf-8")()
        self._before = -1

    def _begin(self, mask: int) -> Seen:
        return Seen(StreamScanner(mask, code=True))

    def take(self, piece: str, last: bool) -> str:
        made = self._made(piece, last)
        return made if self._watch.changes else piece

    def _made(self, piece: str, last: bool) -> str:
        if self._pieces is not None:
            told: list[str] = []
            for text, index in self._pieces.feed(piece, last):
                word = self._custom(index, text) if index >= 0 else None
                if self._watch.over:
                    last = True
                    break
                told.append(text if word is None else word)
                self._see(told[-1])
            piece = "".join(told)
        found = self._scanner.feed(piece.encode("utf-8", "replace"))
        if last:
            found += self._scanner.flush()
        parts: list[str] = []
        for data, kind in found:
            text = self._characters.decode(data)
            if kind < 0:
                self._before = -1
                self._pass(text)
                parts.append(text)
            elif kind != SECRET or self._before != SECRET:  # else more of a secret that is longer than is held back
                new = self._stand_in(kind, text)
                if self._watch.over:
                    break
                self._before = -1 if new is None else kind
                parts.append(text if new is None else new)
        return "".join(parts)

    def _pass(self, text: str) -> None:
        """It goes on as it is."""

    def _see(self, text: str) -> None:
        """It comes after what the configuration has named has been put out."""

    def _custom(self, index: int, text: str) -> str | None:
        new = self._watch.made.custom(index, text)
        self._watch.found(self._watch.made)
        return new

    def _stand_in(self, kind: int, text: str) -> str | None:
        new = self._watch.made.stand_in(kind, text)
        self._watch.found(self._watch.made)
        return new


class _Quotes:
    """``within``: whether JSON that is read piece by piece is in a string. ``tail`` is its end, since that."""

    def __init__(self) -> None:
        self.within = False
        self.tail = ""
        self._cut = ""

    def read(self, text: str) -> None:
        whole, self._cut = self._cut + text, ""
        for match in TOGGLE.finditer(whole):
            if match[0] == '"':
                self.within = not self.within
            elif match[0] == "\\":
                self._cut = match[0]
        self.tail = (self.tail + text)[-TAIL:]


class _InJson(_Watched):
    """A text that is JSON, and is to be JSON afterwards: what stands for a number is a string."""

    def __init__(self, watch: Watch, policy: Policy) -> None:
        super().__init__(watch, policy)
        self._cut = ""
        # The second is of what comes after what the configuration has named has been put out.
        self._seen = _Quotes()
        self._passed = _Quotes()

    def _begin(self, mask: int) -> Seen:
        return Seen(StreamScanner(mask, json=True))

    def _made(self, piece: str, last: bool) -> str:
        text = self._cut + piece
        cut = None if last else CUT_ESCAPE.search(text)
        self._cut = cut[1] if cut else ""
        if cut:
            text = text[: cut.start(1)]
        return super()._made(ESCAPE.sub(_resolved, text), last)

    def _pass(self, text: str) -> None:
        self._passed.read(text)

    def _see(self, text: str) -> None:
        self._seen.read(text)

    def _custom(self, index: int, text: str) -> str | None:
        if '"' in text or (not self._seen.within and OUTSIDE.fullmatch(text)):
            return None  # what is in more than one string, or in none; but for words, which make it no JSON
        return super()._custom(index, text)

    def _stand_in(self, kind: int, text: str) -> str | None:
        if self._passed.within:
            return super()._stand_in(kind, text)
        begun = BEFORE.search(self._passed.tail)
        if begun and begun[0] and NUMBER.fullmatch(text):
            return None  # a part of a number
        new = super()._stand_in(kind, text)
        if new is None:
            return None
        self._passed.read(f'"{new}"')
        return f'"{new}"'


def _resolved(match: re.Match[str]) -> str:
    """What an escape stands for, unless that needs one."""
    if match[0] == "\\/":
        return "/"
    code = int(match[1], 16) if match[1] else 0
    return match[0] if code < 0x20 or code in (0x22, 0x5C) or 0xD800 <= code < 0xE000 else chr(code)
