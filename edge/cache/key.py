"""What makes two requests the same: every field that can change the answer, those nobody has heard of included.

A cache key is the SHA-256 of a canonical, length-prefixed form (`edge/_fast/_key.py`), so it cannot be made to collide
by what a prompt says, and says nothing about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from edge._fast import begun_digest, digest_after, request_digest, select_fields
from edge.call import Call
from edge.config import Provider
from edge.dialects.billing import without_billing
from edge.head import Head
from edge.memo import keep
from edge.payload import Payload

__all__ = ["NAMED", "NAMED_PREFIXES", "Keys", "decode_body", "identity", "owner_of"]

WITHOUT = frozenset({"stream", "stream_options", "user", "metadata", "safety_identifier"})
"""Fields of a body that say how an answer is to be delivered, or for whom it is, but not what it is."""
NAMED = frozenset({b"openai-beta"})
NAMED_PREFIXES = (b"anthropic-",)
"""Headers that go to the provider and can change its answer, or who pays for it: Anthropic's are an open list."""
UNREDACTED = b"none"
"""Stands for the policy of requests whose texts are left as they are."""
NOTHING: frozenset[str] = frozenset()

MAX_BYTES = 4 << 20
MAX_VALUES = 16384
MOST_BEGUN = 1024
"""Larger bodies are not keyed: it takes a millisecond or two for each MiB, to decode and then to digest it, and as long
for 10,000 numbers, while which the other requests of the loop wait."""

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def decode_body(payload: Payload) -> dict[str, Any] | None:
    """A body that has been checked, with its numbers exact.

    None for one that has no single meaning: a key that is given twice somewhere is read in one way here and may be
    read in another by the provider, and a number may be beyond what can be told exactly. None for one of more values
    than can be looked at while the other requests of the loop wait.
    """
    if payload.scan.repeated or len(payload.body) > MAX_BYTES or payload.values > MAX_VALUES:
        return None
    try:
        return _decode(payload.body)
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        return None


def owner_of(scope: str, tenant: str, key_id: str) -> str:
    """Who shares answers, by the configured scope."""
    return {"tenant": tenant, "key": key_id, "shared": ""}[scope]


def identity(scope: str, owner: str, strict: bool, targets: Iterable[tuple[Provider, str]]) -> bytes:
    """The part of a key that is not the request: who may share the answer, and who would be asked for it.

    `owner` is a tenant or key id, by `scope`; `targets` are the providers' settings and models that the requested name
    leads to, fallbacks included. The upstream that will be picked has no part in it.
    """
    asked = [
        {
            "base_url": provider.base_url,
            "dialect": provider.dialect,
            "query": dict(provider.query),
            "headers": dict(provider.headers),
            "drop_headers": provider.drop_headers,
            "drop_betas": provider.drop_betas,
            "system": provider.system,
            "model": model,
        }
        for provider, model in targets
    ]
    return request_digest((scope.encode(), owner.encode()), {"asked": asked, "strict": strict}, NOTHING)


class Keys:
    """Makes the keys of requests. What their heads and grants have a part in is digested once, and found by those."""

    def __init__(self) -> None:
        self._begun: dict[tuple[Head, bytes, bytes], object] = {}

    def key(self, call: Call, granted: bytes, body: dict[str, Any]) -> bytes:
        """The 32 bytes by which a request's answer is known. `granted` is its `identity`, `body` its decoded body."""
        head, policy = call.head, call.grant.pii
        redaction = UNREDACTED if policy is None else policy.version
        if call.grant.answers is not None:
            redaction += call.grant.answers.version
        found_by = (head, granted, redaction)
        begun = self._begun.get(found_by)
        if begun is None:
            headers = [b"%b: %b" % field for field in select_fields(head.headers, NAMED, NAMED_PREFIXES)]
            begun = begun_digest((granted, redaction, head.route.upstream.encode(), head.query, *headers))
            if head.form is not None:  # it comes again
                keep(self._begun, found_by, begun, MOST_BEGUN)
        if head.route.dialect == "anthropic":
            body = without_billing(body)
        return digest_after(begun, body, WITHOUT)
