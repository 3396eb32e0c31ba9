"""How many tokens a request may come to: an estimate, before anybody is asked."""

from __future__ import annotations

from edge.call import Call
from edge.dialects.estimate import known_input, sized_input, tokens_allowed
from edge.errors import RouteNotAllowed
from edge.guard.reservation import MOST_TOKENS
from edge.payload import Payload

__all__ = ["check_known", "expected_input", "expected_output", "most_output"]

UNCOUNTED = "Nobody counts here what a response in the background uses, and this key's tokens or money are limited."


def check_known(call: Call) -> None:
    """Refuse what uses nobody knows how much, where tokens or money are limited: a response that is made in the
    background tells of that only who asks for it again. Raises RouteNotAllowed.
    """
    grant = call.grant
    quotas = grant.quotas
    if quotas is None or not quotas.all or call.head.route.api != "responses":
        return
    if call.payload.says(b"background", b"true"):
        raise RouteNotAllowed(UNCOUNTED)


def expected_input(call: Call) -> int:
    """Tokens of input, as they are estimated."""
    payload, head = call.payload, call.head
    scan = payload.scan
    if scan.sizes is not None:
        return known_input(head.route.upstream, payload.body, scan, payload.model)
    return sized_input(head.route.upstream, payload.body, head.bodies if scan.unsized else None)


def expected_output(call: Call) -> int:
    """Tokens of output, at most `MOST_TOKENS`: the most that the request lets be written, where it says that; else what
    the answers under its grant usually have, for each choice.
    """
    payload, grant = call.payload, call.grant
    quotas = grant.quotas
    path = call.head.route.upstream
    if path == "/embeddings" or path == "/rerank":
        return 0
    most = most_output(payload)
    if most == 0 and quotas is not None:
        most = of_all(payload, quotas.usual.output)
    return most


def most_output(payload: Payload) -> int:
    """How many tokens may be written, all choices together, at most `MOST_TOKENS`; 0 where the request does not say."""
    most = tokens_allowed(payload)
    return of_all(payload, most) if most > 0 else 0


def of_all(payload: Payload, most: int) -> int:
    """So many tokens for each of the answers that are asked for."""
    answers = max(1, payload.scan.number(b"n"))
    return MOST_TOKENS if most > MOST_TOKENS // answers else most * answers
