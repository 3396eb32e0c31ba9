"""How many tokens a request may come to: an estimate, before anybody is asked."""

from __future__ import annotations

from edge.call import Call
from edge.dialects.estimate import estimate_input
from edge.errors import RouteNotAllowed
from edge.guard.reservation import MOST_TOKENS
from edge.payload import Payload

__all__ = ["check_known", "expected_input", "expected_output", "most_output", "number_in"]

MOST = (b"max_completion_tokens", b"max_tokens", b"max_output_tokens")
WITHOUT_OUTPUT = ("/embeddings", "/rerank")
UNCOUNTED = "Nobody counts here what a response in the background uses, and this key's tokens or money are limited."
MOST_DIGITS, ZERO = 12, ord("0")


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
    return estimate_input(call.head.route.upstream, call.payload.body)


def expected_output(call: Call) -> int:
    """Tokens of output, at most `MOST_TOKENS`: the most that the request lets be written, where it says that; else what
    the answers under its grant usually have, for each choice.
    """
    payload, grant = call.payload, call.grant
    quotas = grant.quotas
    if call.head.route.upstream in WITHOUT_OUTPUT:
        return 0
    most = most_output(payload)
    if most == 0 and quotas is not None:
        most = of_all(payload, quotas.usual.output)
    return most


def most_output(payload: Payload) -> int:
    """How many tokens may be written, all choices together, at most `MOST_TOKENS`; 0 where the request does not say."""
    for name in MOST:
        most = whole(payload, name)
        if most > 0:
            return of_all(payload, most)
    return 0


def of_all(payload: Payload, most: int) -> int:
    """So many tokens for each of the answers that are asked for."""
    answers = max(1, whole(payload, b"n"))
    return MOST_TOKENS if most > MOST_TOKENS // answers else most * answers


def whole(payload: Payload, name: bytes) -> int:
    """As `number_in` has it, of a top-level value."""
    span = payload.span(name)
    if span is None:
        return 0
    begin, end = span
    return number_in(payload.body, begin, end)


def number_in(body: bytes, begin: int, end: int) -> int:
    """The whole number above 0 that is written there, in at most 12 digits; 0 for anything else."""
    value = 0
    if not 0 < end - begin <= MOST_DIGITS or body[begin] == ZERO:
        return 0
    for at in range(begin, end):
        digit = body[at] - ZERO
        if digit < 0 or digit > 9:
            return 0
        value = value * 10 + digit
    return value
