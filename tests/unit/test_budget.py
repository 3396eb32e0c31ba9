"""How many retries a worker may make."""

from __future__ import annotations

import pytest

from edge.upstreams.budget import FLOOR, FLOOR_PER_S, MOST, RetryBudget


def taken(budget, share, now, most=10_000):
    for count in range(most):
        if not budget.take(share, now):
            return count
    return most


def test_an_idle_edge_has_a_floor_that_fills_again():
    budget = RetryBudget()
    assert taken(budget, 0.2, 100.0) == FLOOR
    assert taken(budget, 0.2, 100.0 + 3.0 / FLOOR_PER_S) == 3
    assert taken(budget, 0.2, 10_000.0) == FLOOR


@pytest.mark.parametrize(("share", "more"), [(0.2, 20), (0.0, 0), (1.0, 100)])
def test_successes_earn_their_share(share, more):
    budget = RetryBudget()
    assert taken(budget, share, 1.0) == FLOOR
    budget.successes += 100
    assert taken(budget, share, 1.0) == more


def test_a_long_time_without_failures_is_worth_no_more_than_the_most():
    budget = RetryBudget()
    budget.successes += 1_000_000
    assert taken(budget, 0.2, 1.0) == MOST
