"""What is kept where others may read: under names that tell nothing, and encrypted.

As `edge.dialects.sealed` does it, with keys of its own: a synthetic initialisation vector (RFC 5297, with other
functions). The tag is HMAC-SHA256 of the place and of what is kept there, so what was put elsewhere, or touched, does
not open; the key stream is SHAKE256 of the second key, the tag and the number of the block. So what is kept for one
tenant cannot be given to another, whoever writes to the store.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import blake2b, shake_256

from edge.slices import Steps

__all__ = ["Strongbox", "strongbox_of"]

TAG = 16
BLOCK = 1 << 16
"""Bytes that are encrypted in one go: a third of a millisecond."""


class Strongbox:
    """Of one secret, which all machines of a configuration have."""

    __slots__ = ("_hides", "_names", "_proves")

    def __init__(self, secret: bytes) -> None:
        self._names, self._proves, self._hides = (
            blake2b(secret, digest_size=32, person=person).digest()
            for person in (b"edge kept name", b"edge kept tag", b"edge kept text")
        )

    def place(self, tenant: str, name: str) -> bytes:
        """Where what a tenant calls `name` is kept: 32 hex digits."""
        told = b"%d:%b%b" % (len(tenant.encode()), tenant.encode(), name.encode())
        return hmac.digest(self._names, told, "sha256")[:16].hex().encode()

    def close(self, place: bytes, text: bytes) -> Steps[bytes]:
        """What is put there."""
        tag = self._tag(place, text)
        hidden = yield from self._hidden(tag, text)
        return tag + hidden

    def open(self, place: bytes, data: bytes) -> Steps[bytes | None]:
        """What was put there, None for what is not that."""
        tag = data[:TAG]
        text = yield from self._hidden(tag, data[TAG:])
        return text if hmac.compare_digest(tag, self._tag(place, text)) else None

    def _tag(self, place: bytes, text: bytes) -> bytes:
        return hmac.digest(self._proves, place + text, "sha256")[:TAG]

    def _hidden(self, tag: bytes, text: bytes) -> Steps[bytes]:
        """A text, or what it was hidden as: either of the other."""
        out = []
        for number, at in enumerate(range(0, len(text), BLOCK)):
            block = text[at : at + BLOCK]
            stream = shake_256(b"%b%b%d" % (self._hides, tag, number)).digest(len(block))
            mixed = int.from_bytes(block, "little") ^ int.from_bytes(stream, "little")
            out.append(mixed.to_bytes(len(block), "little"))
            yield
        return b"".join(out)


@lru_cache(maxsize=8)
def strongbox_of(secret: bytes) -> Strongbox:
    """The one of a configuration, whose `secret` this is (``State.salt``)."""
    return Strongbox(secret)
