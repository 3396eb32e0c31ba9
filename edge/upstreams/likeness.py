"""What of a request decides between upstreams that are alike: where its beginning was seen, and what it will cost."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from xxhash import xxh3_64, xxh3_64_digest

from edge._fast import first_turn_end
from edge.dialects.estimate import tokens_allowed
from edge.hooks import Usage
from edge.inquiry import Inquiry
from edge.memo import keep

if TYPE_CHECKING:
    from edge.money.pricing import ModelPrice

__all__ = ["prefix_of", "price_of", "size_for", "size_of"]

BLOCK = 4096
"""Bytes. Both providers cache prompts from 1,024 tokens on (https://platform.openai.com/docs/guides/prompt-caching,
https://docs.claude.com/en/docs/build-with-claude/prompt-caching), of about four bytes of English each."""
LOOKED_AT = 65536
"""Bytes of the messages in which their first turn is looked for."""
FIXED = (b"tools", b"system", b"instructions")
TURNS = (b"messages", b"input", b"prompt")
BYTES_A_TOKEN = 4
ANSWER = 512
"""Tokens: an answer is taken to have as many, or as many as the request allows."""
KEPT_BITS = 4
MILLION = 1 << 20
KEYED: dict[tuple[bytes, bytes], int] = {}


def prefix_of(inquiry: Inquiry) -> int:
    """64 bits that all requests of a conversation have in common: a digest of ``x-edge-session``, or of tools, system
    and the messages up to the first turn, of that a block of a provider's cache. 0 where there is nothing of it. Who
    does not know ``State.salt`` cannot try what it may be of.
    """
    session = inquiry.varying.get(b"x-edge-session")
    if session is not None:
        return keyed([(inquiry.key.tenant or inquiry.key.id).encode() + b"\0", session], inquiry.state.salt)
    payload = inquiry.payload
    body = payload.body
    parts: list[bytes | memoryview] = []
    for name in FIXED:
        span = payload.span(name)
        if span is not None:
            parts.append(memoryview(body)[span[0] : span[1]])
    for name in TURNS:
        span = payload.span(name)
        if span is not None:
            start = span[0]
            parts.append(body[start : first_turn_end(body, start, min(span[1], start + LOOKED_AT), BLOCK)])
    return keyed(parts, inquiry.state.salt) if parts else 0


def keyed(parts: list[bytes | memoryview], salt: bytes) -> int:
    """A digest of what a conversation's requests have in common, which is found once for most of them."""
    if len(parts) == 1:  # as nearly always
        told = xxh3_64_digest(parts[0])
    else:
        digest = xxh3_64()
        for part in parts:
            digest.update(part)
        told = digest.digest()
    known = KEYED.get((salt, told))
    if known is not None:
        return known
    return keep(KEYED, (salt, told), int.from_bytes(blake2b(told, digest_size=8, key=salt).digest(), "big"))


def size_of(inquiry: Inquiry) -> int:
    """How large a request is taken to be, tokens of input and of output in one number, each to about one part in 16:
    what is compared for them is reckoned once for all that are alike.
    """
    payload = inquiry.payload
    return size_for(len(payload.body), tokens_allowed(payload))


def size_for(size: int, output: int) -> int:
    """The same, of a body of `size` bytes that lets so many tokens be written (0: it says nothing)."""
    return rounded(size // BYTES_A_TOKEN) * MILLION + rounded(min(output or ANSWER, ANSWER))


def price_of(price: ModelPrice | None, size: int) -> float:
    """What a request of this size costs, in 1e-12 USD; infinity where that is not known."""
    if price is None:
        return float("inf")
    return float(price.cost(Usage(input=size // MILLION, output=size % MILLION)))


def rounded(number: int) -> int:
    """All bits of it below its first `KEPT_BITS` are 0."""
    shift = 0
    while number >> shift >> KEPT_BITS:
        shift += 1
    return number >> shift << shift
