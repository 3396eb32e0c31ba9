"""What one vendor's model has thought, in the envelope of the other's API, so that it can go back to whom it came from.

    thinking of Anthropic's, with its signature       in ``encrypted_content`` of a Responses reasoning item
    a reasoning item of OpenAI's, with what it has     in ``data`` of ``redacted_thinking``, or in ``signature`` of
    encrypted                                         ``thinking`` where there is a summary to show

A client keeps such a thing and sends it back with its next turn; what it holds is its vendor's business, and both
vendors say so. An envelope is ``edge1`` and a letter for what is in it, a dot, and base64url of 16 bytes of a tag
and of JSON, which is encrypted: by a policy on personal data a client may have been shown less than was thought. All
machines of one configuration have the keys.

It is a synthetic initialisation vector (RFC 5297, with other functions): the tag is HMAC-SHA256 of what is in it, and
the key stream is SHAKE256 of the second key and the tag. So the same thought has the same envelope, nothing has to be
random, and one that was touched anywhere does not open: nobody can put words into a model's mind.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b, shake_256
from secrets import token_bytes
from typing import Any

import msgspec

from edge.errors import UNREADABLE

__all__ = ["MAX_SEALED", "Seal", "is_sealed", "seal_of"]

VERSION = "edge1"
THINKING, REASONING = "t", "r"
TAG = 16
MAX_SEALED = 1 << 19
"""Characters of an envelope. The longest thought a model may have, 128,000 tokens, takes about as much; what is
longer is not sealed, and is not thought of again."""
PROOFS = ("thinking", "redacted_thinking")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def is_sealed(text: Any) -> bool:
    """Whether a text is an envelope of any edge's, which a vendor could make nothing of."""
    return isinstance(text, str) and text.startswith(VERSION) and text[6:7] == "."


class Seal:
    """Makes envelopes and opens them, with keys that are derived from `secret`."""

    __slots__ = ("_hides", "_proves")

    def __init__(self, secret: bytes = b"") -> None:
        """Without `secret` they are keys of this process."""
        secret = secret or token_bytes(32)
        self._proves = blake2b(secret, digest_size=32, person=b"edge sealed tag").digest()
        self._hides = blake2b(secret, digest_size=32, person=b"edge sealed text").digest()

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
        tag = self._tag(kind, body)
        return f"{VERSION}{kind}." + urlsafe_b64encode(tag + self._hidden(tag, body)).decode().rstrip("=")

    def _open(self, kind: str, text: Any) -> dict[str, Any] | None:
        head = f"{VERSION}{kind}."
        if not isinstance(text, str) or not text.startswith(head) or len(text) > MAX_SEALED:
            return None
        text = text[len(head) :]
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            tag = data[:TAG]
            body = self._hidden(tag, data[TAG:])
            return _decode(body) if hmac.compare_digest(tag, self._tag(kind, body)) else None
        except (ValueError, *UNREADABLE):
            return None

    def _tag(self, kind: str, body: bytes) -> bytes:
        return hmac.digest(self._proves, kind.encode() + body, "sha256")[:TAG]

    def _hidden(self, tag: bytes, body: bytes) -> bytes:
        """A text, or what it was hidden as: either of the other."""
        size = len(body)
        stream = shake_256(self._hides + tag).digest(size)
        return (int.from_bytes(body, "little") ^ int.from_bytes(stream, "little")).to_bytes(size, "little")


@lru_cache(maxsize=8)
def seal_of(secret: bytes) -> Seal:
    """The one of a configuration, whose `secret` this is (``State.salt``)."""
    return Seal(secret)
