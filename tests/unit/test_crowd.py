"""How many connections a worker takes, and who goes when there are more."""

from __future__ import annotations

import asyncio

import pytest

from edge.config import Server
from edge.server.crowd import RESERVED, Crowd, bounds, group_of


class Counting:
    def __init__(self) -> None:
        self.counted: list[str] = []

    def count(self, metric: str, *labels: str, amount: float = 1.0) -> None:
        self.counted += labels


class Quiet:
    def __init__(self) -> None:
        self.lines: list[dict] = []

    def warning(self, event: str, **fields) -> None:
        self.lines.append(fields)


class Connection:
    group = None

    def __init__(self, idle_since: float | None) -> None:
        self.idle_since = idle_since
        self.closed = False

    def give_up(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("settings", "descriptors", "expected"),
    [
        ({}, 1024, (512, 460)),
        ({}, 20_000, (10_000, 9000)),
        ({"max_connections": 100}, 1024, (100, 90)),
        ({"max_connections": 5000}, 1024, (1024 - RESERVED, 864)),
        ({"max_connections_per_address": 7}, 1024, (512, 7)),
        ({"max_connections": 5, "max_connections_per_address": 50}, 1024, (5, 5)),
        ({}, 2, (1, 1)),
    ],
)
def test_the_bounds_leave_descriptors_for_providers(settings, descriptors, expected):
    assert bounds(Server(**settings), descriptors) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("no:address", "no:address", True),
    ],
)
def test_who_is_counted_together(one, other, same):
    assert (group_of(one) == group_of(other)) == same


def crowd(total: int, per_address: int) -> Crowd:
    return Crowd(total, per_address, Counting(), Quiet(), lambda _: None)


def test_the_idlest_goes_and_one_that_is_busy_never():
    async def run() -> None:
        made = crowd(3, 3)
        busy, old, new = Connection(None), Connection(1.0), Connection(2.0)
        assert all(made.enter(each, "a") for each in (busy, new, old))
        last = Connection(None)
        assert made.enter(last, "b")
        assert (busy.closed, old.closed, new.closed) == (False, True, False)
        assert made.open == 3
        new.idle_since = None
        assert not made.enter(Connection(None), "c")
        assert made.open == 3
        made.leave(busy)
        assert made.enter(Connection(None), "c")
        made.leave(old)  # again: it has left when it was given up
        assert made.open == 3

    asyncio.run(run())


def test_an_address_that_is_full_costs_its_own_and_is_refused_while_others_are_let_in():
    async def run() -> None:
        made = crowd(10, 2)
        other = Connection(0.0)
        made.enter(other, "b")
        mine = [Connection(5.0), Connection(None)]
        for each in mine:
            made.enter(each, "a")
        assert made.enter(Connection(None), "a")
        assert (mine[0].closed, other.closed) == (True, False)
        assert not made.enter(Connection(None), "a")
        assert made.enter(Connection(None), "c")
        for _ in range(5):
            assert made.enter(Connection(None), ""), "over a socket of the file system only the total counts"

    asyncio.run(run())


def test_one_that_was_idle_and_is_used_again_is_not_taken_for_idle():
    async def run() -> None:
        made = crowd(3, 3)
        first, second, third = (Connection(float(n)) for n in range(3))
        for each in (first, second, third):
            made.enter(each, "a")
        made.enter(Connection(9.0), "b")  # `first` goes, and the next ones are known from here
        second.idle_since = None
        made.enter(Connection(9.0), "b")
        assert (first.closed, second.closed, third.closed) == (True, False, True)

    asyncio.run(run())


def test_what_happens_is_counted_each_time_and_told_once_in_a_while():
    async def run() -> Crowd:
        made = crowd(1, 1)
        for n in range(20):
            made.enter(Connection(float(n)), "a")
        return made

    made = asyncio.run(run())
    assert made._meter.counted == ["closed_idle"] * 19
    assert len(made._log.lines) == 1
