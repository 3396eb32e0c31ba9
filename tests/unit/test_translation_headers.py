"""Headers about rate limits, in both dialects' names."""

from __future__ import annotations

import pytest

from edge.dialects.translators import TRANSLATORS

NOW = 1_750_000_000.5  # 2025-06-15T15:06:40.5Z


def test_anthropics_limits_have_openais_names():
    headers = [
        (b"retry-after", b"3"),
        *((b"anthropic-ratelimit-requests-limit", b"50"), (b"anthropic-ratelimit-requests-remaining", b"49")),
        *((b"anthropic-ratelimit-tokens-limit", b"9"), (b"anthropic-ratelimit-tokens-remaining", b"8")),
        (b"anthropic-ratelimit-tokens-reset", b"2025-06-15T15:12:40Z"),
        (b"anthropic-ratelimit-input-tokens-limit", b"7"),
    ]
    assert TRANSLATORS["chat", "messages"].headers(headers, NOW) == [
        (b"retry-after", b"3"),
        *((b"x-ratelimit-limit-requests", b"50"), (b"x-ratelimit-remaining-requests", b"49")),
        *((b"x-ratelimit-limit-tokens", b"9"), (b"x-ratelimit-remaining-tokens", b"8")),
        (b"x-ratelimit-reset-tokens", b"6m0s"),
        (b"anthropic-ratelimit-input-tokens-limit", b"7"),
    ]


def test_openais_limits_have_anthropics_names():
    headers = [
        *((b"retry-after-ms", b"3"), (b"x-ratelimit-limit-requests", b"50"), (b"x-ratelimit-remaining-tokens", b"8")),
        (b"x-ratelimit-reset-requests", b"6m0s"),
    ]
    assert TRANSLATORS["messages", "chat"].headers(headers, NOW) == [
        (b"retry-after-ms", b"3"),
        *((b"anthropic-ratelimit-requests-limit", b"50"), (b"anthropic-ratelimit-tokens-remaining", b"8")),
        (b"anthropic-ratelimit-requests-reset", b"2025-06-15T15:12:41Z"),
    ]


@pytest.mark.parametrize(
    ("reset", "left"),
    [
        *((b"2025-06-15T15:06:41Z", b"1s"), (b"2025-06-15T15:06:40Z", b"0s"), (b"2020-01-01T00:00:00Z", b"0s")),
        *((b"2025-06-15T17:06:41+01:00", b"1h0m1s"), (b"2025-06-17T15:06:41.25Z", b"48h0m1s")),
        *((b"2025-06-15T15:06:41", None), (b"soon", None), (b"", None), (b"\xff", None), (b"1750000000", None)),
    ],
)
def test_a_time_becomes_what_is_left_till_then(reset, left):
    translated = TRANSLATORS["chat", "messages"].headers([(b"anthropic-ratelimit-requests-reset", reset)], NOW)
    assert translated == ([] if left is None else [(b"x-ratelimit-reset-requests", left)])


@pytest.mark.parametrize(
    ("left", "reset"),
    [
        *((b"1s", b"2025-06-15T15:06:42Z"), (b"0s", b"2025-06-15T15:06:41Z"), (b"20ms", b"2025-06-15T15:06:41Z")),
        *((b"1h0m0.5s", b"2025-06-15T16:06:41Z"), (b"2d1m", b"2025-06-17T15:07:41Z")),
        *((b"", None), (b"1", None), (b"-1s", None), (b"1s!", None), (b"\xff", None), (b"999999999d", None)),
        (b"9" * 1000 + b"s", None),
    ],
)
def test_a_duration_becomes_the_time_it_ends(left, reset):
    translated = TRANSLATORS["messages", "chat"].headers([(b"x-ratelimit-reset-tokens", left)], NOW)
    assert translated == ([] if reset is None else [(b"anthropic-ratelimit-tokens-reset", reset)])
