"""What providers say of when to ask again."""

from __future__ import annotations

import pytest

from edge.upstreams.waits import MAX_WAIT_S, exhausted_s, wait_s

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b" 7 "}, 7.0),
        ({b"retry-after": b"0.5"}, 0.5),
        ({b"retry-after": b"0"}, 0.0),
        ({b"retry-after": b"-3"}, 0.0),
        ({b"retry-after": b"nan"}, 0.0),
        ({b"retry-after": b"soon"}, 0.0),
        ({b"retry-after": b"\xff"}, 0.0),
        ({b"retry-after": b"Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({b"retry-after": b"Tuesday, 14-Nov-23 22:13:30 GMT"}, 10.0),
        ({b"retry-after": b"Tue, 14 Nov 2023 22:13:10 GMT"}, 0.0),
        ({b"retry-after": b"Tue, 99 Nov 2023 22:13:10 GMT"}, 0.0),
        ({b"retry-after": b"86400"}, MAX_WAIT_S),
        ({b"retry-after-ms": b"250"}, 0.25),
        ({b"retry-after-ms": b"250", b"retry-after": b"1"}, 0.25),
        ({b"retry-after-ms": b"x", b"retry-after": b"1"}, 1.0),
        ({b"retry-after": b"2", b"x-ratelimit-reset-requests": b"9s"}, 2.0),
        ({b"x-ratelimit-reset-requests": b"9s", b"x-ratelimit-reset-tokens": b"20ms"}, 0.02),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"9s"}, 9.0),
        (
            {
                b"x-ratelimit-remaining-requests": b"0",
                b"x-ratelimit-reset-requests": b"1m2.5s",
                b"x-ratelimit-reset-tokens": b"1s",
            },
            62.5,
        ),
        ({b"x-ratelimit-reset-tokens": b"1h0m0s"}, MAX_WAIT_S),
        ({b"x-ratelimit-reset": b"1700000012"}, 12.0),
        ({b"x-ratelimit-reset": b"1700000012500"}, 12.5),
        ({b"x-ratelimit-reset": b"12"}, 12.0),
        ({b"anthropic-ratelimit-tokens-reset": b"2023-11-14T22:13:35Z"}, 15.0),
        ({b"anthropic-ratelimit-requests-reset": b"2023-11-14T23:13:35+01:00"}, 15.0),
        (
            {
                b"anthropic-ratelimit-input-tokens-remaining": b"0",
                b"anthropic-ratelimit-input-tokens-reset": b"2023-11-14T22:13:50Z",
                b"anthropic-ratelimit-requests-reset": b"2023-11-14T22:13:21Z",
            },
            30.0,
        ),
    ],
)
def test_the_wait_that_an_error_asks_for(headers, seconds):
    assert wait_s(headers, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"x-ratelimit-remaining-requests": b"1", b"x-ratelimit-reset-requests": b"9s"}, 0.0),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"9s"}, 9.0),
        ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"6m0s"}, MAX_WAIT_S),
        ({b"x-ratelimit-remaining-tokens": b"0"}, 0.0),
        (
            {
                b"anthropic-ratelimit-output-tokens-remaining": b"0",
                b"anthropic-ratelimit-output-tokens-reset": b"2023-11-14T22:13:22Z",
            },
            2.0,
        ),
    ],
)
def test_a_quota_of_which_nothing_is_left_says_when_it_is_there_again(headers, seconds):
    assert exhausted_s(headers, NOW) == pytest.approx(seconds)
