"""How many tokens a request may come to: an estimate, before anybody is asked."""

from __future__ import annotations

import re

from edge.call import Call
from edge.dialects.estimate import estimate_input
from edge.errors import RouteNotAllowed
from edge.guard.reservation import MOST_TOKENS
from edge.payload import Payload

__all__ = ["check_known", "expected", "most_output"]

MOST = (b"max_completion_tokens", b"max_tokens", b"max_output_tokens")
WITHOUT_OUTPUT = ("/embeddings", "/rerank")
UNCOUNTED = "Nobody counts here what a response in the background uses, and this key's tokens or money are limited."
WHOLE = re.compile(rb"[1-9][0-9]{0,11}")


def check_known(call: Call) -> None:
    """Refuse what uses nobody knows how much, where tokens or money are limited: a response that is made in the
    background tells of that only who asks for it again. Raises RouteNotAllowed.
    """
    quotas = call.grant.quotas
    if quotas is None or not quotas.all or call.head.route.api != "responses":
        return
    if call.payload.says(b"background", b"true"):
        raise RouteNotAllowed(UNCOUNTED)


def expected(call: Call) -> tuple[int, int]:
    """Tokens of input, as they are estimated, and of output: the most that the request lets be written, where it says
    that; else what the answers under its grant usually have, for each choice. Both are at most `MOST_TOKENS`.
    """
    payload, path, quotas = call.payload, call.head.route.upstream, call.grant.quotas
    tokens = estimate_input(path, payload.body)
    if path in WITHOUT_OUTPUT:
        return tokens, 0
    most = most_output(payload)
    if most is None:
        most = (quotas.usual.output if quotas is not None else 0) * (_whole(payload, b"n") or 1)
    return tokens, min(most, MOST_TOKENS)


def most_output(payload: Payload) -> int | None:
    """How many tokens may be written, all choices together; None where the request does not say."""
    for name in MOST:
        most = _whole(payload, name)
        if most is not None:
            return most * (_whole(payload, b"n") or 1)
    return None


def _whole(payload: Payload, name: bytes) -> int | None:
    span = payload.span(name)
    if span is None:
        return None
    text = payload.body[span[0] : span[1]]
    return int(text) if WHOLE.fullmatch(text) is not None else None
