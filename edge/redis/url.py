"""Redis's address as a configuration gives it: ``redis://user:password@host:port/database``.

A password is whatever stands before the last ``@``: one with ``/``, ``@`` or ``#`` in it may be written as it is, or
percent-encoded, as URLs want it.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote

__all__ = ["RedisAddress", "redis_address", "tls_for"]

PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(?:/([0-9]{0,4}))?")
FORM = "must be redis://host:port or rediss://host:port (TLS), with user:password@ before the host if needed"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """``secure``: over TLS. ``username``, ``password`` and ``database`` are None where none is given."""

    secure: bool
    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    database: int | None


def redis_address(url: str) -> RedisAddress:
    """Raises ValueError, whose message says what is wrong without a word of the URL."""
    scheme, found, rest = url.strip().partition("://")
    if not found or scheme.lower() not in ("redis", "rediss"):
        raise ValueError(FORM)
    login, _, place = rest.rpartition("@")
    match = PLACE.fullmatch(place)
    if match is None and re.search(r"[?#]|/.", place):
        raise ValueError("may have the number of a database behind the port, and nothing after it")
    if match is None or not 0 < int(match[2] or 6379) < 65536:
        raise ValueError(FORM)
    username, colon, password = login.partition(":")
    return RedisAddress(
        scheme.lower() == "rediss",
        match[1].strip("[]"),
        int(match[2] or 6379),
        unquote(username) or None,
        unquote(password) if colon and password else None,
        int(match[3]) if match[3] else None,
    )


def tls_for(ca_file: str | None) -> ssl.SSLContext:
    """How Redis is met where it is spoken to over TLS. Raises OSError (ssl.SSLError is one) for a file of authorities
    that cannot be read, or has none.
    """
    return ssl.create_default_context(cafile=ca_file)
