"""The machine's clock is set forward and back, by hand: what counts by the day, and what counts by the minute."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from edge import config
from edge.errors import BudgetExceeded, RateLimited
from edge.guard.auth import Auth, new_key
from edge.hooks import Usage
from edge.money.pricing import PICO
from tests.unit.calls import asked
from tests.unit.test_reservations import NOON, Counting, budget, tokens

HOUR = 3600
MIDNIGHT = NOON + 12 * HOUR


def at(seconds):
    return datetime.fromtimestamp(seconds, UTC)


def spend(counting, cents):
    made = counting.taken(cents, 0)
    made.used(Usage(input=cents, output=0), cents * PICO // 100)
    made.end()


@pytest.mark.parametrize(
    "begins", [NOON, MIDNIGHT - 1800, MIDNIGHT + 1800], ids=["noon", "before midnight", "after it"]
)
def test_a_budget_keeps_what_was_spent_however_often_the_clock_is_turned(begins):
    counting = Counting(budget(1))
    counts = counting.counts
    counts.at_s = float(begins)
    spend(counting, 60)
    for turn in (HOUR, -HOUR, 0, -HOUR, HOUR):
        counts.at_s = begins + turn
        if counts.at_s // 86400 != begins // 86400:
            spend(counting, 5)  # of another day's budget, whose cell is claimed
    counts.at_s = float(begins)
    assert counting.money() == (0.6, 0.0)
    with pytest.raises(BudgetExceeded):
        counting.taken(41, 0)
    spend(counting, 40)


def test_what_was_reserved_before_the_clock_was_turned_is_given_back_where_it_was_reserved():
    counting = Counting(budget(1))
    counts = counting.counts
    counts.at_s = MIDNIGHT - 1800
    made = counting.taken(60, 0)
    counts.at_s = MIDNIGHT + 1800
    assert counting.money() == (0.0, 0.0), "another day"
    made.used(Usage(input=50, output=0), PICO // 2)
    made.end()
    assert counting.money() == (0.0, 0.0)
    counts.at_s = MIDNIGHT - 1800
    assert counting.money() == (0.5, 0.0)


@pytest.mark.parametrize("turn", [HOUR, -HOUR, 86400, -86400])
def test_tokens_of_a_minute_come_back_with_time_that_has_passed(turn):
    counting = Counting(tokens(600))
    counts = counting.counts
    counting.taken(600, 0)
    counts.at_s += turn
    with pytest.raises(RateLimited) as refused:
        counting.taken(100, 0)
    assert dict(refused.value.headers)[b"retry-after"] == b"10"
    counts.at_ns += 10 * 10**9
    counting.taken(100, 0)


@pytest.mark.parametrize("turn", [HOUR, -HOUR, 0])
def test_who_has_spent_a_budget_is_told_to_wait_for_its_end_by_the_clock_as_it_is(turn):
    counting = Counting(budget(1))
    spend(counting, 100)
    counting.counts.at_s = NOON + turn
    with pytest.raises(BudgetExceeded) as refused:
        counting.taken(1, 0)
    assert int(dict(refused.value.headers)[b"retry-after"]) == MIDNIGHT - NOON - turn


def test_a_key_holds_by_the_clock_as_it_is():
    token, digest = new_key("ends")
    key = config.Key(id="ends", digests=[digest], expires=at(NOON + 1800), not_before=at(NOON - 1800))
    now = [float(NOON)]
    auth = Auth(config.Auth(keys=[key]), clock=lambda: now[0])
    call = asked({"model": "m", "messages": []}, headers=[("authorization", f"Bearer {token}")])
    for turn, holds in ((0, True), (HOUR, False), (0, True), (-HOUR, False), (0, True)):
        now[0] = NOON + turn
        assert (auth.identify(call.head, call.varying, ()) is not None) is holds, turn
