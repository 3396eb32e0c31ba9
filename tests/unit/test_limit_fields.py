"""The fields that tell what is left of a limit, in the words of both dialects."""

from __future__ import annotations

from edge._fast import Lines
from edge.dialects.rate_limit_headers import openai_to_anthropic
from edge.guard.decisions import Decisions
from edge.guard.limit_fields import REQUESTS, TOKENS, USD, LimitFields, dollars, names_of, write_dollars
from edge.money.pricing import PICO
from edge.reply_fields import pairs_of
from tests.unit.test_accounting import Tally

NOON = 1_796_040_000.0


def written(fields, dialect, left=5, seconds=30, now=NOON):
    lines = Lines()
    fields.begin(lines, dialect == "anthropic")
    lines.whole(left)
    fields.end(lines, dialect == "anthropic", seconds, now)
    return pairs_of(lines.back())


def test_openai_has_the_time_that_is_left():
    assert written(LimitFields(TOKENS, b"1000"), "openai") == [
        (b"x-ratelimit-limit-tokens", b"1000"),
        (b"x-ratelimit-remaining-tokens", b"5"),
        (b"x-ratelimit-reset-tokens", b"30s"),
    ]


def test_anthropic_has_the_moment_as_it_is_translated_from_openai():
    fields = LimitFields(REQUESTS, b"60")
    for seconds, now in (
        (0, NOON),
        (30, NOON),
        (30, NOON + 0.25),
        (30, NOON + 0.75),
        (29, NOON + 1.5),
        (30, NOON - 9.9),
    ):
        told = openai_to_anthropic(written(fields, "openai", seconds=seconds, now=now), now)
        assert written(fields, "anthropic", seconds=seconds, now=now) == told


def test_what_a_provider_says_of_these_limits_is_known_by_its_names():
    for dialect in ("openai", "anthropic"):
        assert names_of(0, dialect == "anthropic") == frozenset()
        for kind in (REQUESTS, TOKENS, USD):
            assert names_of(kind, dialect == "anthropic") == {
                name for name, _ in written(LimitFields(kind, b"1"), dialect)
            }
        assert len(names_of(REQUESTS | TOKENS | USD, dialect == "anthropic")) == 9


def test_money_is_written_to_the_millionth_and_rounded_down():
    for amount in (0, 1, 999_999, 1_000_000, PICO - 1, PICO, 12 * PICO + 345_678_999_999):
        lines = Lines()
        write_dollars(lines, amount)
        assert lines.back() == dollars(amount)
    assert dollars(12 * PICO + 345_678_999_999) == b"12.345678"


def test_a_decision_has_a_series_from_the_first_one_on():
    tally = Tally()
    decisions = Decisions(tally, "tokens")
    assert tally.counts == {}
    decisions.admitted()
    decisions.admitted()
    decisions.other("refused")
    name = "edge_limit_decisions_total"
    assert tally.counts == {(name, "tokens", "admitted"): 2, (name, "tokens", "refused"): 1}
