"""JSON Web Tokens in place of keys: signed by an issuer whom the operator trusts, for this edge, for a time.

Only signatures by a key pair are taken: whoever can check them cannot make them, so that no algorithm that a token
names can turn a public key into a secret (RFC 8725, sections 2.1 and 3.1). What a token says of where its key is to be
found is not looked at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from edge import config
from edge.config.file import ConfigError
from edge.guard.auth import FOREVER, OF_TOKENS, Key, pattern
from edge.memo import keep

__all__ = ["IssuerKeys", "Tokens"]

RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS = RSA | {"ES256", "ES384", "ES512", "EdDSA"}
MAX_KEYS = 64
MAX_NAME = 128
MAX_KID = 256
REFRESH_S = 300.0
"""An issuer's keys are fetched again after so long."""
SOONER_S = 30.0
"""And after so long where a token names a key that is not among them, or the last attempt failed."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """``signs``: the algorithms that the key is for, which is not for a token to choose; ``said``: the key as its
    issuer describes it.
    """

    key: Any
    signs: frozenset[str]
    said: str


class IssuerKeys:
    """The public keys of an issuer, by their ids."""

    def __init__(self, document: bytes = b"") -> None:
        """Raises ValueError for what is no set of keys (RFC 7517, section 5)."""
        self._by_id: dict[str, PublicKey] = {}
        self._missed = False
        self._tried_at = float("-inf")
        self._failed = False
        if document:
            self.take(document)

    def __len__(self) -> int:
        return len(self._by_id)

    def take(self, document: bytes) -> bool:
        """Go by these keys from now on; whether they are others than before. Those that sign nothing for us are left
        out. Raises ValueError.
        """
        from jwt import PyJWK
        from jwt.exceptions import PyJWTError

        said = msgspec.json.decode(document)
        listed = said.get("keys") if isinstance(said, dict) else None
        if not isinstance(listed, list):
            raise ValueError('it has no list "keys"')
        found: dict[str, PublicKey] = {}
        for each in listed[:MAX_KEYS]:
            if not isinstance(each, dict) or each.get("use", "sig") != "sig" or each.get("kty") == "oct":
                continue
            kid = each.get("kid", "")
            try:
                made = PyJWK(each)
            except (PyJWTError, ValueError, TypeError, KeyError):
                continue  # of a kind that is not known here
            signs = RSA if each.get("kty") == "RSA" and "alg" not in each else ALGORITHMS & {made.algorithm_name}
            if isinstance(kid, str) and signs:
                found[kid] = PublicKey(made.key, signs, json.dumps(each, sort_keys=True))
        if not found:
            raise ValueError("it has no key that signs by RSA, an elliptic curve or EdDSA")
        changed = {kid: key.said for kid, key in found.items()} != {kid: key.said for kid, key in self._by_id.items()}
        self._by_id = found
        return changed

    def named(self, kid: str | None) -> PublicKey | None:
        """The key with this id, or the only one for a token that names none; None where there is none, which has the
        keys fetched again before their time.
        """
        if kid is None:
            return next(iter(self._by_id.values())) if len(self._by_id) == 1 else None
        found = self._by_id.get(kid)
        if found is None:
            self._missed = True
        return found

    def is_due(self, now: float) -> bool:
        """Whether they are to be fetched, by a monotonic clock; if so, that is taken as done."""
        wait = SOONER_S if self._missed or self._failed else REFRESH_S
        if now - self._tried_at < wait:
            return False
        self._tried_at, self._missed = now, False
        return True

    def fetched(self, failed: bool) -> None:
        self._failed = failed


class Tokens:
    """Finds out whose a token is. ``keys`` may change; a token is verified once, and remembered by its digest."""

    def __init__(self, settings: config.Jwt, keys: IssuerKeys) -> None:
        self.settings = settings
        self.keys = keys
        self._known: dict[bytes, Key] = {}

    @classmethod
    def of(cls, settings: config.Jwt | None, old: Tokens | None) -> Tokens | None:
        """Those of a configuration; `old` goes on where it asks the same address for its keys. Raises ConfigError."""
        if settings is None:
            return None
        if settings.jwks_file is None:
            return old if old is not None and old.settings == settings else cls(settings, IssuerKeys())
        try:
            return cls(settings, IssuerKeys(Path(settings.jwks_file).read_bytes()))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ConfigError("auth.jwt.jwks_file", [f"'{settings.jwks_file}' cannot be used: {reason}"]) from None

    def take(self, document: bytes) -> None:
        """Go by other keys of the issuer: what was verified by those before is forgotten. Raises ValueError."""
        if self.keys.take(document):
            self._known.clear()

    def find(self, token: bytes, digest: bytes) -> Key | None:
        """The key that a token stands for, whose times are the token's: whoever asks compares them with the clock. None
        where it is no token of the issuer's for this edge.
        """
        known = self._known.get(digest)
        if known is None and token.count(b".") == 2:
            claims = self._verified(token)
            known = None if claims is None else self._key(claims)
            if known is not None:
                keep(self._known, digest, known)
        return known

    def _verified(self, token: bytes) -> dict[str, Any] | None:
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            if header.get("alg") not in ALGORITHMS or "crit" in header:
                return None
            if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
                return None
            key = self.keys.named(kid)
            if key is None or header["alg"] not in key.signs:
                return None
            # Its times are looked at with each request.
            options: Any = {"require": ["exp", "sub", "iss", "aud"], "verify_exp": False, "verify_nbf": False}
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[header["alg"]],
                audience=self.settings.audience,
                issuer=self.settings.issuer,
                options=options,
            )
            return claims
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None

    def _key(self, claims: dict[str, Any]) -> Key | None:
        """What the claims of a verified token grant; None where one that is needed is missing or is no name."""
        names = self.settings.claims
        who: str = claims["sub"]
        tenant: str = claims.get(names.tenant, "")
        begins, ends = claims.get("nbf", 0), claims["exp"]
        if not (_is_name(who) and _is_name(tenant) and _is_time(begins) and _is_time(ends)):
            return None
        models: tuple[str, ...] | None = None
        if names.models is not None:
            said = claims.get(names.models, [])
            said = said.split() if isinstance(said, str) else said
            if not isinstance(said, list) or not all(map(_is_name, said)):
                return None
            models = tuple(said)
        told = json.dumps([tenant, models]).encode()
        return Key(
            f"{OF_TOKENS}{who}",
            tenant,
            None if models is None else tuple([pattern(each) for each in models]),
            admin=False,
            begins=float(begins),
            ends=min(float(ends), FOREVER),
            rights=f"{OF_TOKENS}{who}:{sha256(told).hexdigest()}",
        )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 53
