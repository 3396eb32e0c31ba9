"""A provider's headers about its rate limits, in the other dialect's names.

    Anthropic                                                     OpenAI
    anthropic-ratelimit-{requests,tokens}-{limit,remaining}       x-ratelimit-{limit,remaining}-{requests,tokens}
    anthropic-ratelimit-{requests,tokens}-reset, a time           x-ratelimit-reset-{requests,tokens}, a duration

The edge's own ``usd`` has the forms of both.

Anthropic gives the time of a reset by RFC 3339, OpenAI what is left till then as ``1s`` or ``6m0s``:
https://platform.claude.com/docs/en/api/rate-limits#response-headers,
https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers. A reset that cannot be read is left out; all
other headers, ``retry-after`` for one, stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil

from edge.errors import Headers

__all__ = ["anthropic_to_openai", "openai_to_anthropic", "unchanged"]

OPENAI_NAMES = {
    b"anthropic-ratelimit-%b-%b" % (what, field): b"x-ratelimit-%b-%b" % (field, what)
    for what in (b"requests", b"tokens", b"usd")
    for field in (b"limit", b"remaining", b"reset")
}
ANTHROPIC_NAMES = {openai: anthropic for anthropic, openai in OPENAI_NAMES.items()}
PIECE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|us|ns|d|h|m|s)")
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def anthropic_to_openai(headers: Headers, now: float) -> Headers:
    """Anthropic's headers for a client of OpenAI's, at `now` in unix seconds. Names are in lower case."""
    return _translated(headers, OPENAI_NAMES, lambda value: duration(datetime.fromisoformat(value), now))


def openai_to_anthropic(headers: Headers, now: float) -> Headers:
    """OpenAI's headers for a client of Anthropic's, at `now` in unix seconds. Names are in lower case."""
    return _translated(headers, ANTHROPIC_NAMES, lambda value: time_after(value, now))


def unchanged(headers: Headers, now: float) -> Headers:
    """Those of a provider that has the client's names for them."""
    return headers


def _translated(headers: Headers, names: dict[bytes, bytes], reset: Callable[[str], str]) -> Headers:
    translated: Headers = []
    for name, value in headers:
        if name in names and b"reset" in name:
            try:
                value = reset(value.decode("ascii")).encode()
            except (ValueError, OverflowError):
                continue
        translated.append((names.get(name, name), value))
    return translated


def duration(reset: datetime, now: float) -> str:
    """What is left of the time till `reset`, in whole seconds as Go writes them. Raises ValueError without a zone."""
    if reset.tzinfo is None:
        raise ValueError
    minutes, seconds = divmod(max(0, ceil(reset.timestamp() - now)), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes}m{seconds}s" if hours or minutes else f"{seconds}s"
    return f"{hours}h{text}" if hours else text


def time_after(text: str, now: float) -> str:
    """The time a duration from `now`, in whole seconds. Raises ValueError, OverflowError."""
    pieces = PIECE.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise ValueError
    left = sum(float(number) * UNITS[unit] for number, unit in pieces)
    return datetime.fromtimestamp(ceil(now + left), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
