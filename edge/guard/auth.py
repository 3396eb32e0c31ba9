"""Keys: which one a request carries, and what it may use.

Only SHA-256 digests of keys are known here. A fast hash is right for random keys of 190 bits: there is no dictionary
to try. A stored digest is not accepted in place of its key, since what is presented is always hashed.
"""

from __future__ import annotations

import re
import secrets
import string
import time
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, get_args

from edge import config
from edge.config import is_loopback
from edge.digests import digest_of
from edge.errors import (
    ConflictingCredentials,
    HostNotAllowed,
    InvalidApiKey,
    ModelNotAllowed,
    OriginNotAllowed,
    UnsupportedMediaType,
)
from edge.guard.key_table import KeyTable
from edge.head import Head, Varying
from edge.memo import keep
from edge.routes import ABOUT_KEPT, MODEL, OTHER, ROUTES, SOCKETS, UPGRADE

if TYPE_CHECKING:
    from edge.guard.tokens import Tokens

__all__ = ["ANYONE", "OF_TOKENS", "Auth", "Key", "is_foreign", "new_key", "says_json"]

MAX_TOKEN = 4096
MAX_KNOWN = 65536
MAX_STRANGERS = 1024
MAX_SAID = 256
"""Bytes of an Authorization that is remembered: who has a key could pad it with blanks."""
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
FOREVER = float("inf")
OF_TOKENS = "jwt:"
"""What the id of a key begins with that is a token's; that of a configured one has no colon."""
BY_NAME: dict[str, set[str]] = {name: set() for name in get_args(config.RouteName)}
"""The endpoints that the name of a route stands for: its own, and those below it that no other name stands for."""
for _path, _route in (*ROUTES.items(), *ABOUT_KEPT.items(), *SOCKETS.items(), ("realtime", UPGRADE)):
    _names = [name for name in BY_NAME if _path == name or _path.startswith(f"{name}/")]
    BY_NAME[max(_names, key=len)].add(_route.endpoint)
ALPHABET = string.ascii_letters + string.digits


class Key:
    """A key as the configuration describes it. ``models`` and ``routes`` (endpoints of `edge.routes`) are None for all;
    the others are None where nothing is set for it. ``limited``: its requests are counted. It holds from ``begins`` to
    before ``ends``, in seconds of the wall clock; ``timed``: not always. Keys with the same ``rights`` may use the same
    models, as the same tenant: by default these are its id. It never changes.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as the configuration calls it
        tenant: str,
        models: tuple[re.Pattern[str], ...] | None,
        admin: bool,
        requests_per_minute: int | None = None,
        concurrency: int | None = None,
        cache: config.CacheMode | None = None,
        pii: config.PiiModes | None = None,
        priority: int = 0,
        tokens_per_minute: int | None = None,
        budget: config.Budget | None = None,
        routes: frozenset[str] | None = None,
        begins: float = 0.0,
        ends: float = FOREVER,
        rights: str = "",
    ) -> None:
        self.id = id
        self.tenant = tenant
        self.models = models
        self.admin = admin
        self.requests_per_minute = requests_per_minute
        self.concurrency = concurrency
        self.cache: config.CacheMode | None = cache
        self.pii = pii
        self.priority = priority
        self.tokens_per_minute = tokens_per_minute
        self.budget = budget
        self.routes = routes
        self.begins = begins
        self.ends = ends
        self.rights = rights or id
        self.limited = requests_per_minute is not None or concurrency is not None
        self.timed = begins > 0 or ends < FOREVER

    def grants(self, *names: str) -> bool:
        """Whether one of `names` matches one of the key's patterns."""
        if self.models is None:
            return True
        for pattern in self.models:
            for name in names:
                if pattern.match(name):
                    return True
        return False


ANYONE = Key(id="", tenant="", models=None, admin=False)
"""Who everybody is under ``mode: none``."""
NOBODY = Key(id="", tenant="", models=(), admin=False)
"""Who has not said yet who it is."""


class Auth:
    """Finds the key of a request. Immutable: a new configuration makes a new one. ``several``: its keys may be of more
    than one tenant.
    """

    def __init__(
        self,
        settings: config.Auth,
        keys: KeyTable | None = None,
        *,
        loopback_only: bool = True,
        clock: Callable[[], float] = time.time,
        tokens: Tokens | None = None,
    ) -> None:
        """`keys` are those of the settings, where they stand elsewhere. `loopback_only` says that, without keys, the
        server is bound to loopback (and not started --insecure). `clock` tells the time that keys hold until.
        ``tokens`` are taken beside keys, None for none.
        """
        self.failures_per_minute = settings.failures_per_minute
        self._clock = clock
        self.tokens = tokens
        self.open = settings.open
        self.loopback_only = loopback_only
        self._table = KeyTable.of(settings.keys) if keys is None else keys
        self.several = self._table.several or tokens is not None
        self._known: dict[bytes, Key] = {}
        # By the Authorization that is the only credential of a head: of valid keys alone, and of no tokens, which
        # `Tokens` forgets when the keys of their issuer change.
        self._said: dict[bytes | None, Key] = {}
        # Hashes, keyed by a number that this process has drawn, of those that are nobody's: one may be a secret of
        # somebody else's. A key of ours is taken for one of them once in 2**54 times at most.
        self.strangers: dict[int, None] = {}

    def key_of(self, digest: bytes) -> Key | None:
        """The key with this SHA-256. It is put together when it is first presented."""
        key = self._known.get(digest)
        if key is None:
            entry = self._table.find(digest)
            if entry is None:
                return None
            key = key_from(entry)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[digest] = key
        return key

    def named(self, key_id: str) -> Key | None:
        """The key with this id, for who looks on. Looks through all of them."""
        entry = self._table.named(key_id)
        return None if entry is None else key_from(entry)

    def identify(self, head: Head, varying: Varying, certificate: tuple[bytes, ...]) -> Key | None:
        """Whose request this is, from its head and the `credentials_of` its connection's certificate; None where it has
        no valid key.

        Clients may fill both headers, one with a credential that is not ours: a valid key in either counts. Of two
        valid ones of a tenant, that of ``Authorization`` does, and that of the certificate where there is no other.
        Raises ConflictingCredentials where they are of two tenants; without keys, the errors of `check_open`.
        """
        if self.open:
            self.check_open(head)
            return ANYONE
        key = self._said_by(head, varying)
        if not certificate:
            return key
        # Beside what is remembered of a head: others send the same one over connections of their own.
        own = self._certified(certificate)
        if key is None:
            return own
        if own is not None and own.tenant != key.tenant:
            raise ConflictingCredentials
        return key

    def identify_anew(self, head: Head, varying: Varying, certificate: tuple[bytes, ...], known: Key) -> Key:
        """Keys have changed while a body came, which may take minutes: the key as it is now. Raises InvalidApiKey where
        it has none now.
        """
        key = self.identify(head, varying, certificate)
        if key is None or key.id != known.id:
            raise InvalidApiKey
        return key

    def _certified(self, certificate: tuple[bytes, ...]) -> Key | None:
        """The key of the first name that is one."""
        for name in certificate:
            key = self.key_of(name)
            if key is not None and (not key.timed or self._holds(key)):
                return key
        return None

    def _said_by(self, head: Head, varying: Varying) -> Key | None:
        """The key that is in a head."""
        said = varying.get(b"authorization")
        given = varying.get(b"x-api-key")
        repeated = head.repeated
        alone = said is not None and given is None and not repeated and len(said) <= MAX_SAID
        if alone:
            known = self._said.get(said)
            if known is not None and (not known.timed or self._holds(known)):
                return known
            if known is None and hash(said) in self.strangers:
                return None
        key = None
        if said is not None and b"authorization" not in repeated:
            token = bearer(said)
            key = self._presented(token)
            if key is not None:
                key = self._valid(key, token)
            elif alone and self.tokens is None:
                keep(self.strangers, hash(said), None, MAX_STRANGERS)
        if given is not None:
            token = given.strip()
            other = self._presented(token) if b"x-api-key" not in repeated else None
            if other is not None:
                other = self._valid(other, token)
            if key is None:
                key = other
            elif other is not None and other.tenant != key.tenant:
                raise ConflictingCredentials
        if key is not None and alone and not key.id.startswith(OF_TOKENS):
            keep(self._said, said, key)
        return key

    def _presented(self, token: bytes) -> Key | None:
        """The key that a token is, whether it holds or not. What is looked up is its digest, of which a client can
        choose nothing: the time that takes says nothing about a key.
        """
        digest = digest_of(token)
        key = self.key_of(digest)
        if key is None and self.tokens is not None and len(token) <= MAX_TOKEN:
            key = self.tokens.find(token, digest)
        return key

    def _valid(self, key: Key, token: bytes) -> Key | None:
        """A key that was presented, if it holds."""
        if not 0 < len(token) <= MAX_TOKEN or (key.timed and not self._holds(key)):
            return None
        return key

    def _holds(self, key: Key) -> bool:
        """Whether its time has come, and is not over."""
        return key.begins <= self._clock() < key.ends

    def check_open(self, head: Head) -> None:
        """Without keys, a web page the user happens to visit must not be able to spend money here.

        It could post a "simple" cross-origin request, so a foreign Origin and a body that is not declared as JSON are
        refused; it could rebind its own name to 127.0.0.1, so while bound to loopback the Host must be a loopback one.
        Raises HostNotAllowed, OriginNotAllowed, UnsupportedMediaType.
        """
        host = head.only(b"host")
        if self.loopback_only and not is_loopback_host(host):
            raise HostNotAllowed
        if is_foreign(head):
            raise OriginNotAllowed
        content_type = head.index.get(b"content-type")
        if head.method == "POST" and content_type != b"application/json":
            # Multipart is refused as well, by the gateway, as a route that does not exist.
            multipart = media_type(content_type) == b"multipart/form-data"
            if not multipart and not says_json(content_type):
                raise UnsupportedMediaType


def is_foreign(head: Head) -> bool:
    """Whether a browser asks it on behalf of a page of another origin."""
    origin, host = head.index.get(b"origin"), head.only(b"host")
    return origin is not None and (host is None or origin.partition(b"://")[2].lower() != host.lower())


def media_type(content_type: bytes | None) -> bytes:
    """What a body is declared as, without parameters."""
    return (content_type or b"").partition(b";")[0].strip().lower()


def says_json(content_type: bytes | None) -> bool:
    """Whether a body is declared as JSON, which a browser sends to another origin only where that allows it."""
    kind = media_type(content_type)
    return kind == b"application/json" or kind.endswith(b"+json")


def key_from(entry: config.Key) -> Key:
    """A key as it is asked about, from how it is configured."""
    return Key(
        entry.id,
        entry.tenant or entry.id,
        None if entry.models is None else tuple([pattern(each) for each in entry.models]),
        entry.admin,
        entry.requests_per_minute,
        entry.concurrency,
        entry.cache,
        entry.pii,
        entry.priority,
        entry.tokens_per_minute,
        entry.budget,
        None if entry.allowed_routes is None else endpoints(entry.allowed_routes),
        entry.not_before.timestamp() if entry.not_before is not None else 0.0,
        entry.expires.timestamp() if entry.expires is not None else FOREVER,
    )


def endpoints(names: Iterable[config.RouteName]) -> frozenset[str]:
    """What the names of a key's routes stand for."""
    found: set[str] = set()
    for name in names:
        if name == "other":
            found.add(OTHER)
        elif name == "models":
            found |= {ROUTES[name].endpoint, MODEL.endpoint}
        else:
            found |= BY_NAME[name]
    return frozenset(found)


def bearer(said: bytes) -> bytes:
    """The token of an ``Authorization``, b"" for another scheme.

    A scheme is written in either case (RFC 9110, section 11.1).
    """
    if said.startswith(b"Bearer "):
        return said[7:].strip()
    scheme, _, token = said.strip().partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


@lru_cache(maxsize=4096)
def pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


def host_name(host: bytes | None) -> str:
    """The name or address of a Host header, without its port; "" if there is none or it is no host."""
    match = HOST.fullmatch(host or b"")
    return match[1].decode("ascii") if match else ""


@lru_cache(maxsize=256)
def is_loopback_host(host: bytes | None) -> bool:
    """Whether a Host header names this machine."""
    return is_loopback(host_name(host))


def refuse_model(name: str) -> ModelNotAllowed:
    return ModelNotAllowed(f"This key may not use the model '{name}'.", param="model")


def new_key(key_id: str) -> tuple[str, str]:
    """A fresh key and its digest: ``lea_<id>_<32 base62 characters>``, 190 bits of them random.

    Raises ValueError for an id that the configuration would refuse.
    """
    if not re.fullmatch(config.NAME, key_id):
        raise ValueError("an id is 1 to 64 lower-case letters, digits, - and _")
    token = f"lea_{key_id}_{''.join(secrets.choice(ALPHABET) for _ in range(32))}"
    return token, "sha256:" + sha256(token.encode()).hexdigest()
