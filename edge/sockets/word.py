"""What a provider says first, once it has taken the handshake: it may still be that it takes nobody by our key.

OpenAI answers any key by a 101, then tells by an ``error`` event that it does not know it, or by the reason of a close
(3000, ``invalid_request_error.invalid_api_key``). Others say so that they have no room. Before anything of the model
has come, that is a handshake that was refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from edge.dialects.error_translation import is_spent
from edge.dialects.openai import STATUS, envelope_of
from edge.dialects.responses import PREAMBLE, ResponsesStream
from edge.dialects.stream import type_of
from edge.errors import UNREADABLE
from edge.sockets.peer import ABNORMAL, LATER, TROUBLE, Closed, Message
from edge.upstreams.refusal import read
from edge.upstreams.retry import CREDENTIALS
from edge.upstreams.rules import RULES

__all__ = ["FIRST_WORD_S", "Refusal", "is_of_the_model", "refusal_in", "told_by"]

FIRST_WORD_S = 1.0
"""How long a provider is waited for that says nothing after its 101: it may wait for its client to speak."""
FAILED = (b"error", b"response.failed")
CODE = re.compile(r"[a-z]+(?:_[a-z]+)+")
CANNOT = {TROUBLE: 500, 1012: 503, LATER: 503, 1014: 502}
"""Codes of a close by which a server says that it cannot serve (https://www.iana.org/assignments/websocket)."""
MAX_READ = 65536
"""Bytes of an event that may tell an error."""


class Refusal(NamedTuple):
    """The ``status`` and the ``body`` that an answer would have had. ``ours``: it is our key that is refused, or our
    account that has no money.
    """

    status: int
    body: bytes
    ours: bool


class _Event(msgspec.Struct):
    status: int | None = None


_decode = msgspec.json.Decoder(_Event).decode


def is_of_the_model(message: Message) -> bool:
    """Whether it is more than the news that a response has begun."""
    return type_of(message.data[:MAX_READ]) not in PREAMBLE


def refusal_in(word: Message | Closed | None) -> Refusal | None:
    """What is refused by a first word, None where nothing is: for what another provider, or another of our keys, may do
    better. What is about the client's own event is its own to hear.
    """
    found = None if word is None else told_by(word)
    return found if found is not None and (found.ours or found.status in RULES) else None


def told_by(word: Message | Closed) -> Refusal | None:
    """The error that an event or a close tells, None where it tells none."""
    return in_event(word) if isinstance(word, Message) else in_close(word)


def in_event(message: Message) -> Refusal | None:
    if not message.text or len(message.data) > MAX_READ or type_of(message.data) not in FAILED:
        return None
    status, body = ResponsesStream().refusal(message.data)
    try:
        told = _decode(message.data).status or 0
    except UNREADABLE:
        told = 0
    status = told if 400 <= told < 600 else status
    return Refusal(status, body, status in CREDENTIALS or is_spent(status, *read(message.data)))


def in_close(closed: Closed) -> Refusal | None:
    """Its reason has the words of an error, or its code is that of who cannot."""
    words = CODE.findall(closed.reason)
    code = next((word for word in reversed(words) if word in STATUS), None)
    status = STATUS[code] if code is not None else CANNOT.get(closed.code, 502 if closed.code == ABNORMAL else 0)
    if not status:
        return None
    body = envelope_of({"code": code, "message": "The provider closed the connection."}, status)
    return Refusal(status, body, status in CREDENTIALS or is_spent(status, words, ""))
