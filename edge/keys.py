"""What ``edge key`` does: the life of a key, from its first digest to its end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from edge import config
from edge.certificates import normal
from edge.config.keys_file import KeysFile, editing
from edge.guard.auth import new_key

__all__ = ["KeysError", "Known", "issue", "known", "moment", "read", "revoke", "rotate"]

SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SHOWN = 15
"""Of a digest, ``sha256:`` and eight digits: enough to tell two apart."""


class KeysError(Exception):
    """Why a key cannot be issued, rotated or revoked, for people."""


@dataclass(frozen=True, slots=True)
class Known:
    """A key as ``edge key list`` shows it. ``state`` is ``active``, ``not yet`` or ``expired``."""

    id: str
    tenant: str
    state: str
    digests: list[str]
    not_before: str
    expires: str
    admin: bool


def moment(text: str, now: datetime) -> datetime:
    """A time with its zone, or one that is so far from now: ``90d``, ``12h``, ``30m``, ``45s``. Raises ValueError."""
    if span := SPAN.fullmatch(text):
        return (now + timedelta(**{UNITS[span[2]]: int(span[1])})).replace(microsecond=0)
    return msgspec.convert(text, config.Instant)


def issue(path: str, key_id: str, settings: dict[str, Any], configured: Sequence[config.Key] = ()) -> str:
    """A new key with `settings`, those of ``auth.keys`` by name, in the keys file; the key itself is nowhere but in
    what is returned. `configured` are the keys of the configuration itself: a file that names one of them again would
    be refused whole, and with it all that is revoked in it. Raises KeysError, OSError, ValueError.
    """
    token, digest = new_key(key_id)
    with editing(path) as keys:
        if any(key.id == key_id for key in keys):
            raise KeysError(f"there is a key '{key_id}' already: 'edge key rotate' makes another for it")
        if any(key.id == key_id for key in configured):
            raise KeysError(f"the configuration itself has a key '{key_id}': give this one another id")
        taken = {normal(name) for key in (*keys, *configured) for name in key.certificates or ()}
        for name in settings.get("certificates", ()):
            if normal(name) in taken:
                raise KeysError(f"'{name}' is a key already")
            taken.add(normal(name))
        keys.append(msgspec.convert({"id": key_id, "digests": [digest], **settings}, config.Key))
    return token


def rotate(path: str, key_id: str) -> str:
    """Another key for an id. The latest before it holds until it is revoked by `revoke` with ``old``, or until the next
    rotation; one before that holds no more. Raises KeysError, OSError, ValueError.
    """
    token, digest = new_key(key_id)
    with editing(path) as keys:
        place = _place(keys, key_id)
        keys[place] = msgspec.structs.replace(keys[place], digests=[*keys[place].digests[-1:], digest])
    return token


def revoke(path: str, key_id: str, *, old: bool = False) -> int:
    """Let a key hold no more, or of a key that was rotated the one before; how many digests and names of
    certificates are gone.

    Raises KeysError, OSError, ValueError.
    """
    with editing(path) as keys:
        place = _place(keys, key_id)
        key = keys[place]
        digests = key.digests
        if not old:
            del keys[place]
            return len(digests) + len(key.certificates or ())
        if len(digests) < 2:
            raise KeysError(f"the key '{key_id}' has not been rotated: without --old it is revoked whole")
        keys[place] = msgspec.structs.replace(keys[place], digests=digests[-1:])
        return 1


def read(path: str) -> list[config.Key]:
    """Raises OSError, and ValueError for a file that cannot be understood."""
    return msgspec.json.decode(Path(path).read_bytes(), type=KeysFile).keys


def known(keys: list[config.Key], now: datetime) -> Iterator[Known]:
    for key in keys:
        early = key.not_before is not None and now < key.not_before
        late = key.expires is not None and now >= key.expires
        yield Known(
            key.id,
            key.tenant or key.id,
            "expired" if late else "not yet" if early else "active",
            [*[digest[:SHOWN] for digest in key.digests], *(key.certificates or ())],
            _shown(key.not_before),
            _shown(key.expires),
            key.admin,
        )


def _shown(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _place(keys: list[config.Key], key_id: str) -> int:
    place = next((place for place, key in enumerate(keys) if key.id == key_id), None)
    if place is None:
        raise KeysError(f"there is no key '{key_id}' in the file")
    return place
