"""How an answer lies in Redis: a fixed binary header, which says whose it is, and the answer after it.

Anyone who can write to that Redis can write anything, and a client's bug may bring another key's value. So nothing is
believed: the decoder compares every field, and what differs in any is no answer. Big-endian:

    offset  size
         0     4  magic, ``LEAe``
         4     1  version of this layout and of `Entry`
         5     1  flags: 1 = the checksum is keyed
         6     2  zero
         8    32  the cache key's digest, whole
        40    32  SHA-256 of the tenant
        72     8  stored at, seconds of the wall clock (IEEE 754)
        80     8  expires at
        88     4  length of the whole, this header included
        92     4  length of the answer
        96    16  checksum of all the rest: the first 16 bytes of its SHA-256, or of its HMAC-SHA256 under
                  ``cache.redis.hmac_key``
       112        the answer, as MessagePack
"""

from __future__ import annotations

import hmac
import re
import struct
from hashlib import sha256

import msgspec

from edge.cache.entry import Entry
from edge.cache.policy import CACHEABLE, MAX_TTL_S
from edge.config import NAME
from edge.hooks import COUNTS, MAX_COUNT, Usage

__all__ = ["MAX_BYTES", "TooLarge", "decode", "encode"]

MAX_BYTES = 1 << 20
"""The largest envelope. A longer value would hold up every other command of a Redis, which has one thread."""
MAX_CHUNKS = 65536
PROVIDER = re.compile(NAME)
MAX_MODEL = 256
MAX_COST = 10**18
"""In 1e-12 USD: a million, which no answer costs."""
MAX_CHUNK_MS = 86_400_000
MAX_SKEW_S = 86_400
"""By how much the clock of who stored an answer may differ from ours."""

MAGIC = b"LEAe"
VERSION = 1
KEYED = 1
FIELDS = struct.Struct(">4sBBH32s32sddII")
CHECKSUM = 16
HEADER = FIELDS.size + CHECKSUM


def counts_of(usage: object) -> dict[str, int]:
    """A usage as it stands in an envelope: the counts that are not as they are without one."""
    assert isinstance(usage, Usage)  # noqa: S101 - an entry holds nothing else of its own
    given, default = usage.counts(), UNUSED.counts()
    return {name: count for name, count, none in zip(COUNTS, given, default, strict=True) if count != none}


def usage_from(_kind: type, counts: object) -> Usage:
    """The opposite. Raises ValueError, which msgspec makes its own."""
    if not isinstance(counts, dict) or not counts.keys() <= KNOWN:
        raise ValueError("no usage")
    if not all(type(count) is int and -1 <= count <= MAX_COUNT for count in counts.values()):
        raise ValueError("no counts")
    return Usage(**counts)


UNUSED = Usage()
KNOWN = frozenset(COUNTS)
_encoder = msgspec.msgpack.Encoder(enc_hook=counts_of)
_decoder = msgspec.msgpack.Decoder(Entry, dec_hook=usage_from)


class TooLarge(Exception):
    """The answer does not fit into `MAX_BYTES`."""


def encode(digest: bytes, tenant: str, entry: Entry, key: bytes | None) -> bytes:
    """The envelope of `entry`. `digest` has 32 bytes; `key` is the HMAC's. Raises TooLarge."""
    if len(entry.body) > MAX_BYTES:
        raise TooLarge
    payload = _encoder.encode(entry)
    size = HEADER + len(payload)
    if size > MAX_BYTES or len(entry.chunks) > MAX_CHUNKS:
        raise TooLarge
    fields = FIELDS.pack(
        MAGIC,
        VERSION,
        0 if key is None else KEYED,
        0,
        digest,
        _tenant(tenant),
        entry.stored_at,
        entry.expires_at,
        size,
        len(payload),
    )
    return b"".join((fields, _checksum(key, fields, payload), payload))


def decode(value: object, digest: bytes, tenant: str, key: bytes | None, now: float) -> Entry | None:
    """The answer in `value`, if that is an envelope of this digest, this tenant and this key, and has not expired at
    `now`; None for everything else. Raises nothing.
    """
    if not isinstance(value, bytes) or not HEADER < len(value) <= MAX_BYTES:
        return None
    fields = value[: FIELDS.size]
    magic, version, flags, zero, whose, tenants, stored_at, expires_at, size, length = FIELDS.unpack(fields)
    if (
        magic != MAGIC
        or version != VERSION
        or flags != (0 if key is None else KEYED)
        or zero
        or whose != digest
        or tenants != _tenant(tenant)
        or size != len(value)
        or length != size - HEADER
    ):
        return None
    payload = memoryview(value)[HEADER:]
    if not hmac.compare_digest(value[FIELDS.size : HEADER], _checksum(key, fields, payload)):
        return None
    try:
        entry = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if entry.stored_at != stored_at or entry.expires_at != expires_at or not _sound(entry, now):
        return None
    return entry


def _tenant(tenant: str) -> bytes:
    return sha256(tenant.encode("utf-8", "surrogatepass")).digest()


def _sound(entry: Entry, now: float) -> bool:
    """Whether the answer agrees with itself, is of now, and says what an answer can say: what becomes a header, a label
    or a number has to pass what the configuration and the provider's answer would have had to.
    """
    if entry.api not in CACHEABLE:
        return False
    if entry.provider and not PROVIDER.fullmatch(entry.provider):
        return False
    if len(entry.model) > MAX_MODEL or not entry.model.isprintable():
        return False
    # NaN is in no range.
    if not now - MAX_TTL_S - MAX_SKEW_S <= entry.stored_at <= now + MAX_SKEW_S:
        return False
    if not max(now, entry.stored_at) < entry.expires_at <= entry.stored_at + MAX_TTL_S:
        return False
    if not -1 <= entry.cost <= MAX_COST or len(entry.chunks) > MAX_CHUNKS:
        return False
    if entry.usage is not None and not entry.usage.sound:
        return False
    if not entry.chunks:
        return True
    at = end = 0
    for milliseconds, position in entry.chunks:
        if not at <= milliseconds <= MAX_CHUNK_MS or position < end:
            return False
        at, end = milliseconds, position
    return end == len(entry.body)


def _checksum(key: bytes | None, fields: bytes, payload: bytes | memoryview) -> bytes:
    if key is not None:
        mac = hmac.new(key, fields, "sha256")
        mac.update(payload)
        return mac.digest()[:CHECKSUM]
    plain = sha256(fields)
    plain.update(payload)
    return plain.digest()[:CHECKSUM]
