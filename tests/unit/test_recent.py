"""What was found out about requests is forgotten when it can be of no use any more."""

from __future__ import annotations

import pytest

from edge.cache import recent
from edge.cache.recent import Recent
from tests.harness import Canned, answer
from tests.unit.lanes import ANSWER, BODY, Worker, post, said


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(recent, "monotonic", lambda: Clock.now)
    return Clock


def filled(most: int, count: int, use_s: float = 10.0, state: object = "one") -> Recent[int]:
    made = Recent[int](most)
    for number in range(count):
        made.keep(number, number, state, use_s)
    return made


def test_the_latest_are_found(clock):
    made = filled(8, 40)
    assert len(made) == 8
    assert [made.find(number, "one") for number in range(40)] == [None] * 32 + list(range(32, 40))


def test_who_comes_again_is_the_latest(clock):
    made = filled(8, 8)
    made.keep(0, 100, "one", 10.0)
    made.keep(8, 8, "one", 10.0)
    assert (made.find(0, "one"), made.find(1, "one")) == (100, None)


def test_another_configuration_knows_nothing_of_what_was_found_under_this_one(clock):
    made = filled(8, 8)
    assert made.find(7, "another") is None
    made.keep(9, 9, "another", 10.0)
    assert len(made) == 1
    assert made.find(7, "one") is None


def test_what_can_be_of_no_use_any_more_goes_as_others_come(clock):
    """Twice as fast: of a crowd that was here once, nothing is left when half as many others have come."""
    made = filled(10_000, 1000)
    clock.now += 11
    for number in range(500):
        made.keep(1000 + number, number, "one", 10.0)
    assert len(made) == 500
    assert all(made.find(1000 + number, "one") == number for number in range(500))


def test_a_steady_stream_of_requests_that_differ_takes_no_more_than_those_of_the_time_of_use(clock):
    made = Recent[int](10_000)
    for number in range(50_000):
        clock.now += 0.1
        made.keep(number, number, "one", 10.0)
    assert len(made) <= 102


def test_what_is_of_no_use_at_once_is_not_kept(clock):
    made = Recent[int](8)
    made.keep(1, 1, "one", 0.0)
    assert len(made) == 0


def test_of_requests_whose_answers_have_expired_nothing_is_remembered(monkeypatch):
    passed = [0.0]
    monkeypatch.setattr(recent, "monotonic", lambda: passed[0])
    with Canned(answer(ANSWER)) as upstream:
        worker = Worker(upstream.url)
        lane = worker.connect()
        for number in range(60):
            passed[0] += worker.config.cache.memory.ttl_s / 10
            lane.data_received(post(BODY[:-1] + b',"seed":%d}' % number))
            worker.wait_for(lane, number + 1)
        gateway = worker.gateway
        assert len(said(lane)) == 60
        assert 9 <= len(gateway.answers._plans) <= 11
        worker.loop.run_until_complete(worker.gateway.close())
        worker.loop.close()
