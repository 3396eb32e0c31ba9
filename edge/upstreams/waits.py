"""How long a provider asks to be left alone: every form in which it says so, as seconds from now."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf

from edge._fast import Fields

__all__ = ["KINDS", "MAX_WAIT_S", "REMAINING", "asked_s", "exhausted_s", "remaining", "wait_s"]

MAX_WAIT_S = 300.0
"""No provider is left alone for longer on its word: limits by the day are lifted, and clocks are wrong."""

BY_DIALECT = {
    "openai": tuple(
        (f"x-ratelimit-remaining{what}".encode(), f"x-ratelimit-reset{what}".encode())
        for what in ("-requests", "-tokens", "")
    ),
    "anthropic": tuple(
        (f"anthropic-ratelimit-{what}-remaining".encode(), f"anthropic-ratelimit-{what}-reset".encode())
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
}
QUOTAS = (*BY_DIALECT["openai"], *BY_DIALECT["anthropic"])
"""What is left of a quota, and when there is all of it again. OpenAI says so as a duration (``1s``, ``6m0s``,
https://platform.openai.com/docs/guides/rate-limits), Anthropic as a date of RFC 3339
(https://platform.claude.com/docs/en/api/rate-limits), others as seconds, or as the time in seconds or milliseconds."""

REMAINING = {dialect: tuple(remaining for remaining, _ in quotas) for dialect, quotas in BY_DIALECT.items()}
"""The names by which what is left is told, of each dialect."""

KINDS = ("requests", "tokens", "input_tokens", "output_tokens")
"""What quotas are of. A name that does not say (``x-ratelimit-remaining``) is one of requests."""
KIND_OF = {
    name: next((kind for kind in reversed(KINDS) if kind.replace("_", "-") in name.decode()), "requests")
    for names in REMAINING.values()
    for name in names
}

DIGITS = 9
"""Of a number of seconds, as `NUMBER` has them: what was asked for once can be asked for again as it was."""
NUMBER = re.compile(rb"\d{1,15}(?:\.\d{1,9})?")
DURATION = re.compile(
    rb"(?=.)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
UNITS_S = (86400.0, 3600.0, 60.0, 1.0, 0.001)
EPOCH_S, EPOCH_MS = 1e9, 1e12
"""A number above is no duration (30 years), but a time."""


def wait_s(fields: Fields, now: float) -> float:
    """The seconds for which a 429 asks to be left alone, at most `MAX_WAIT_S`; 0.0 where it does not say.

    `now` is the Unix time. What `asked_s` finds goes before the
    times at which quotas are full again: of these the latest of what is used up, else the earliest.
    """
    asked = asked_s(fields, now)
    if asked >= 0.0:
        return asked
    used_up = exhausted_s(fields, now)
    if used_up:
        return used_up
    resets = [found for _, reset in QUOTAS if (found := span_s(fields.get(reset) or b"", now))]
    return min(*resets, MAX_WAIT_S) if resets else 0.0


def asked_s(fields: Fields, now: float) -> float:
    """The seconds after which it may be asked again, at most `MAX_WAIT_S`; -1.0 where that is not said.
    ``retry-after-ms`` goes before ``retry-after`` (RFC 9110, section 10.2.3), as in the SDKs of both APIs.
    """
    ms = (fields.get(b"retry-after-ms") or b"").strip()
    if NUMBER.fullmatch(ms):
        return min(round(float(ms) / 1000, DIGITS), MAX_WAIT_S)
    after = span_s(fields.get(b"retry-after") or b"", now)
    return -1.0 if after is None else min(after, MAX_WAIT_S)


def exhausted_s(fields: Fields, now: float) -> float:
    """The seconds until the last of the quotas of which nothing is left is there again, at most `MAX_WAIT_S`; 0.0 where
    something is left of all.
    """
    latest = 0.0
    for remaining, reset in QUOTAS:
        if fields.get(remaining) == b"0":
            latest = max(latest, span_s(fields.get(reset) or b"", now) or 0.0)
    return min(latest, MAX_WAIT_S)


def remaining(fields: Fields) -> dict[str, float]:
    """What is left of quotas, by what they are of (`KINDS`): the least where there are several of a kind."""
    found: dict[str, float] = {}
    for name, kind in KIND_OF.items():
        text = (fields.get(name) or b"").strip()
        if NUMBER.fullmatch(text):
            found[kind] = min(float(text), found.get(kind, inf))
    return found


def span_s(text: bytes, now: float) -> float | None:
    """The seconds from `now` to what a header says, to the nanosecond and not below 0; None for what says nothing."""
    text = text.strip()
    if NUMBER.fullmatch(text):
        number = float(text)
        if number >= EPOCH_MS:
            number /= 1000
        return round(max(number - now, 0.0), DIGITS) if number >= EPOCH_S else number
    found = DURATION.fullmatch(text)
    if found is not None:
        parts = zip(found.groups(), UNITS_S, strict=True)
        return round(sum(float(part) * unit for part, unit in parts if part), DIGITS)
    try:
        word = text.decode("ascii")
        at = datetime.fromisoformat(word) if word[4:5] == "-" else parsedate_to_datetime(word)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return round(max(at.timestamp() - now, 0.0), DIGITS)
    except (ValueError, OverflowError):  # UnicodeDecodeError is a ValueError
        return None
