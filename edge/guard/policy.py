"""What is to be done about personal data and secrets: by whom something is asked, and for which model."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec

from edge import config
from edge._fast import KINDS
from edge.guard.custom import Custom, Customs, customs_of

__all__ = ["PSEUDONYM", "Policies", "Policy", "mode_for"]

VERSION = b"3"
"""Of what is found and of what stands for it: answers to what another version made of a request are another's."""
LAXEST: tuple[config.PiiMode, ...] = ("off", "detect", "pseudonymize", "mask", "block")
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LETTERS = 10
"""Of a pseudonym: 43 bits. No word, and no number, comes of them."""
PSEUDONYM = re.compile(rf"\[[A-Z][A-Z0-9_]{{1,22}}_[{ALPHABET}]{{{LETTERS}}}\]")
"""One of any value."""
SPACING = re.compile(r"[\s().\-]+")
SPACED = frozenset({"phone", "ssn", "card", "iban"})
"""Kinds of which the same value is written with separators and without."""

_encode = msgspec.json.Encoder().encode


def mode_for(settings: config.PiiMode, *overrides: config.PiiMode | None) -> config.PiiMode:
    """The mode in force: the configuration's, unless a key or models have one; the strictest where several do."""
    given = [mode for mode in overrides if mode is not None]
    return max(given, key=LAXEST.index) if given else settings


class Policy:
    """What is done about a side: ``mode``, for the kinds in ``mask`` and ``customs``, which come after `KINDS` in
    ``kinds``. ``version`` tells it from all others.
    """

    def __init__(
        self, mode: config.PiiMode, settings: config.Pii, secret: bytes = b"", customs: Customs | None = None
    ) -> None:
        """`secret` is what pseudonyms are derived with."""
        self.mode = mode
        self.secret = secret
        self._sign(b"")  # the first one has a library to load
        self.mask = sum(1 << KINDS.index(kind) for kind in set(settings.kinds))
        self._allowed = frozenset(text for value in settings.allow for text in (folded(value), closed(value)))
        self.customs = customs
        self.kinds = KINDS if customs is None else KINDS + customs.names
        told = [VERSION.decode(), mode, self.mask, sorted(self._allowed), customs.told if customs is not None else []]
        self.version = sha256(_encode(told)).digest()

    def _sign(self, said: bytes) -> int:
        return int.from_bytes(hmac.digest(self.secret, said, "sha256"), "big")

    def pseudonym(self, kind: int, text: str, tenant: str, number: int) -> str:
        """The same for the same value of the same tenant, for whoever has the secret; of several, one."""
        name = self.kinds[kind].upper()
        digest = self._sign(_encode([tenant, name, text, number]))
        letters = ""
        for _ in range(LETTERS):
            digest, letter = divmod(digest, len(ALPHABET))
            letters += ALPHABET[letter]
        return f"[{name}_{letters}]"

    def allows(self, kind: int, text: str) -> bool:
        """Whether the operator has said that this value is nobody's secret."""
        if not self._allowed:
            return False
        return folded(text) in self._allowed or (self.kinds[kind] in SPACED and closed(text) in self._allowed)


def folded(text: str) -> str:
    return text.strip().casefold()


def closed(text: str) -> str:
    return SPACING.sub("", text).casefold()


class Policies:
    """Those of a configuration: each is made once."""

    def __init__(self, settings: config.Pii, secret: config.Secret | None = None) -> None:
        self._settings = settings
        self._secret = secret.reveal().encode() if secret is not None else b""
        self._customs: dict[bytes, Custom] = {}
        self._made: dict[tuple[str, ...], Policy] = {}

    def prepare(self, own: Iterable[config.PiiModes | None]) -> None:
        """Make what takes its time, of all keys and models, beforehand."""
        for each in (None, *own):
            self._find(() if each is None else (each,))

    def _find(self, own: Sequence[config.PiiModes]) -> Customs | None:
        return customs_of([*self._settings.custom, *[custom for each in own for custom in each.custom]], self._customs)

    def request(self, own: Sequence[config.PiiModes]) -> Policy | None:
        """That of a request by a key, for models, that have these modes of their own."""
        return self._policy(mode_for(self._settings.request, *[each.request for each in own]), own)

    def response(self, own: Sequence[config.PiiModes]) -> Policy | None:
        return self._policy(mode_for(self._settings.response, *[each.response for each in own]), own)

    def masking(self, own: Sequence[config.PiiModes]) -> Policy:
        """What masks all that these would have found, and every kind besides: for who is told of a request, and is not
        the one who was asked.
        """
        customs = self._find(own)
        key = ("masking", *(customs.told if customs is not None else ()))
        made = self._made.get(key)
        if made is None:
            every = msgspec.structs.replace(self._settings, kinds=list(KINDS), allow=[])
            made = self._made[key] = Policy("mask", every, self._secret, customs)
        return made

    def _policy(self, mode: config.PiiMode, own: Sequence[config.PiiModes]) -> Policy | None:
        if mode == "off":
            return None
        customs = self._find(own)
        key = (mode, *(customs.told if customs is not None else ()))
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = Policy(mode, self._settings, self._secret, customs)
        return made
