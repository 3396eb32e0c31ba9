"""What one vendor's model has thought, in the envelope of the other's API, so that it can go back to whom it came from.

    thinking of Anthropic's, with its signature       in ``encrypted_content`` of a Responses reasoning item
    a reasoning item of OpenAI's, with what it has     in ``data`` of ``redacted_thinking``, or in ``signature`` of
    encrypted                                         ``thinking`` where there is a summary to show

A client keeps such a thing and sends it back with its next turn; what it holds is its vendor's business, and both
vendors say so. An envelope is ``edge1`` and a letter for what is in it, a dot, and base64url of 16 bytes of HMAC-SHA256
and of JSON. It is no secret: the client has seen the thoughts that are in it. It is authenticated, with a key that all
machines of one configuration have, so that nobody can put words into a model's mind.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b
from secrets import token_bytes
from typing import Any

import msgspec

from edge.errors import UNREADABLE

__all__ = ["MAX_SEALED", "Seal", "is_sealed", "seal_of"]

VERSION = "edge1"
THINKING, REASONING = "t", "r"
MAC = 16
MAX_SEALED = 1 << 20
"""Characters of an envelope. The longest thought a model may have, 128,000 tokens, takes about half of that; what is
longer is not sealed, and is not thought of again."""
PROOFS = ("thinking", "redacted_thinking")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def is_sealed(text: Any) -> bool:
    """Whether a text is an envelope of any edge's, which a vendor could make nothing of."""
    return isinstance(text, str) and text.startswith(VERSION) and text[6:7] == "."


class Seal:
    """Makes envelopes and opens them, with a key that is derived from `secret`."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes = b"") -> None:
        """Without `secret` it is a key of this process."""
        self._key = blake2b(secret or token_bytes(32), digest_size=32, person=b"edge sealed").digest()

    def thinking(self, block: dict[str, Any]) -> str:
        """For a block of ``thinking`` or ``redacted_thinking`` as Anthropic gave it; "" for one that is too large."""
        return self._close(THINKING, block)

    def open_thinking(self, text: Any) -> dict[str, Any] | None:
        """The block, None for what is no envelope of this key's with one."""
        block = self._open(THINKING, text)
        return block if block is not None and block.get("type") in PROOFS else None

    def reasoning(self, item: dict[str, Any]) -> str:
        """For a reasoning item as OpenAI gave it: ``id``, ``summary``, ``encrypted_content`` and what else it has; ""
        for one that is too large.
        """
        return self._close(REASONING, item)

    def open_reasoning(self, text: Any) -> dict[str, Any] | None:
        """The item, None for what is no envelope of this key's with one."""
        item = self._open(REASONING, text)
        return item if item is not None and item.get("type") == "reasoning" else None

    def _close(self, kind: str, value: dict[str, Any]) -> str:
        body = _encode(value)
        if len(body) > MAX_SEALED // 4 * 3 - 64:
            return ""
        return f"{VERSION}{kind}." + urlsafe_b64encode(self._mac(kind, body) + body).decode().rstrip("=")

    def _open(self, kind: str, text: Any) -> dict[str, Any] | None:
        head = f"{VERSION}{kind}."
        if not isinstance(text, str) or not text.startswith(head) or len(text) > MAX_SEALED:
            return None
        text = text[len(head) :]
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            mac, body = data[:MAC], data[MAC:]
            return _decode(body) if hmac.compare_digest(mac, self._mac(kind, body)) else None
        except (ValueError, *UNREADABLE):
            return None

    def _mac(self, kind: str, body: bytes) -> bytes:
        return hmac.digest(self._key, kind.encode() + body, "sha256")[:MAC]


@lru_cache(maxsize=8)
def seal_of(secret: bytes) -> Seal:
    """The one of a configuration, whose `secret` this is (``State.salt``)."""
    return Seal(secret)
