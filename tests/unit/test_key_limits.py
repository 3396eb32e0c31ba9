"""The limits of a key are counted by its name, whatever configuration it comes from."""

from __future__ import annotations

import gc

import pytest

from edge.errors import RateLimited
from edge.guard.auth import Key
from edge.guard.limits import KeyLimits, Marks, shared_limits
from tests.unit.test_answers import NoMeter


@pytest.fixture
def limits():
    return KeyLimits(shared_limits(1), 1, NoMeter())


def key(requests: int | None = None, concurrency: int | None = None, name: str = "a") -> Key:
    return Key(name, name, None, admin=False, requests_per_minute=requests, concurrency=concurrency)


def test_another_configurations_key_has_what_is_left_and_the_limits_of_that_one(limits):
    for _ in range(2):
        limits.lease(key(requests=2)).take()
    with pytest.raises(RateLimited):
        limits.lease(key(requests=2)).take()
    assert [limits.lease(key(requests, name="b")).left() for requests in (1, 600, None)] == [1, 600, None]
    first = limits.lease(key(concurrency=1))
    first.take()
    with pytest.raises(RateLimited):
        limits.lease(key(concurrency=1)).take()
    limits.lease(key(concurrency=2)).take()


def test_keys_of_old_configurations_are_not_kept(limits):
    def marks() -> int:
        return sum(isinstance(each, Marks) for each in gc.get_objects())

    before = marks()
    for number in range(50):
        for name in ("a", "b"):
            limits.lease(key(600 + number % 2, name=name))
    assert marks() - before <= 2
