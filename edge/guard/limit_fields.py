"""The fields of a reply that tell what is left of a key's limits, in the words of either dialect.

OpenAI's give the time till a limit is full again as a duration, Anthropic's the moment by RFC 3339, both in whole
seconds (`edge.dialects.rate_limit_headers` says where that is written down).
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil

from edge._fast import Lines
from edge.dialects.rate_limit_headers import ANTHROPIC_NAMES
from edge.money.pricing import PICO

__all__ = ["REQUESTS", "TOKENS", "USD", "LimitFields", "dollars", "names_of", "write_dollars"]

REQUESTS, TOKENS, USD = 1, 2, 4
"""What is limited, as bits: a key may have limits of several kinds."""
NAMES = {
    REQUESTS: (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    TOKENS: (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
    USD: (b"x-ratelimit-limit-usd", b"x-ratelimit-remaining-usd", b"x-ratelimit-reset-usd"),
}
"""OpenAI's: of the fields with the limit, with what remains, and with when it is full again."""
DOLLAR, MILLIONTH = PICO, PICO // 1_000_000
LINE = b"\r\n"


class LimitFields:
    """Of one limit, all but what varies: who writes them calls `begin`, writes what is left, and calls `end`."""

    def __init__(self, kind: int, limit: bytes) -> None:
        limits, remaining, reset = NAMES[kind]
        self._openai = lines_until(limits, limit, remaining)
        self._openai_reset = LINE + reset + b": "
        self._anthropic = lines_until(ANTHROPIC_NAMES[limits], limit, ANTHROPIC_NAMES[remaining])
        self._anthropic_reset = LINE + ANTHROPIC_NAMES[reset] + b": "
        self._moment = 0
        self._text = b""

    def begin(self, to: Lines, anthropic: bool) -> None:
        """The limit, and the name of what is left, in Anthropic's words or in OpenAI's."""
        to.add(self._anthropic if anthropic else self._openai)

    def end(self, to: Lines, anthropic: bool, seconds: int, now: float) -> None:
        """It is full again in so many whole seconds from `now`, which is by the wall clock."""
        if not anthropic:
            to.add(self._openai_reset)
            to.whole(seconds)
            to.add(b"s\r\n")
            return
        to.add(self._anthropic_reset)
        moment = now + seconds
        if not self._moment - 1 < moment <= self._moment:
            # Many are told of the same second.
            self._moment = ceil(moment)
            self._text = datetime.fromtimestamp(self._moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ\r\n").encode()
        to.add(self._text)


def lines_until(limits: bytes, limit: bytes, remaining: bytes) -> bytes:
    """The line of the limit, and the next as far as the value of what remains."""
    return limits + b": " + limit + LINE + remaining + b": "


def names_of(kinds: int, anthropic: bool) -> frozenset[bytes]:
    """Of all fields that tell of limits of these kinds."""
    return (ANTHROPIC if anthropic else OPENAI)[kinds]


OPENAI = tuple(
    [frozenset([name for kind in NAMES if kinds & kind for name in NAMES[kind]]) for kinds in range(sum(NAMES) + 1)]
)
ANTHROPIC = tuple([frozenset([ANTHROPIC_NAMES[name] for name in names]) for names in OPENAI])


def dollars(amount: int) -> bytes:
    """Whole 1e-12 USD as USD, to the millionth, rounded down."""
    return b"%d.%06d" % (amount // PICO, amount % PICO // 1_000_000)


def write_dollars(to: Lines, amount: int) -> None:
    """The same, into a head."""
    to.whole(amount // DOLLAR)
    to.add(b".")
    to.digits(amount % DOLLAR // MILLIONTH, 6)
