"""What a balancer tells of its next pick, on both builds."""

from __future__ import annotations

import pytest

from tests.unit.test_balancer import STRATEGIES, answer, made


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_peek_tells_the_next_pick_and_changes_nothing(balancer_module, strategy):
    members, balancer = made(balancer_module, 4, strategy, [3, 1, 2, 1], [2.0, 1.0, 3.0, 4.0], 7)
    for member, wait in zip(members, (0.3, 0.1, 0.2, 0.4), strict=True):
        answer(member, 1.0, wait)
    for number in range(60):
        peeked = [balancer.peek(100.0, number, 0b0001 * (number % 2)) for _ in range(3)]
        assert peeked == [balancer.pick(100.0, number, 0b0001 * (number % 2))] * 3


@pytest.mark.parametrize("strategy", ["round_robin", "failover", "cost", "affinity"])
def test_the_lowest_score_is_taken(balancer_module, strategy):
    _, balancer = made(balancer_module, 4, strategy, [3, 1, 2, 1], [2.0, 1.0, 3.0, 4.0])
    for number in range(1, 60):
        scores = balancer.scores(1.0, number)
        assert balancer.pick(1.0, number) == scores.index(min(scores))
