"""Places at an upstream: who gets one, who waits, and how many there are."""

from __future__ import annotations

import heapq
import random
import statistics

import pytest

from edge.upstreams.gate import Gate, median


def made(most=2, queue=2, adaptive=False) -> Gate:
    return Gate(most, adaptive, queue, 1.0)


def entering(gate, told, name):
    """Who takes the place that it is told of."""

    def come(came, now):
        told.append((name, came, now))
        if came:
            gate.enter()

    return come


def test_there_are_as_many_places_as_configured():
    gate = made(most=2)
    gate.enter()
    assert not gate.full
    gate.enter()
    assert gate.full
    gate.leave(0.0)
    assert not gate.full


def test_who_waits_is_told_in_the_order_of_priority_and_then_of_arrival():
    gate, told = made(most=1, queue=9), []
    gate.enter()
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        gate.wait(priority, 0.0, entering(gate, told, name))
    for now in range(4):
        gate.leave(now)
    assert told == [("b", True, 0), ("d", True, 1), ("a", True, 2), ("c", True, 3)]
    assert gate.in_flight == 1


def test_a_full_queue_turns_away_the_lowest_and_latest():
    gate, told = made(most=1, queue=2), []
    gate.enter()
    gate.wait(1, 0.0, entering(gate, told, "first"))
    gate.wait(1, 0.0, entering(gate, told, "second"))
    assert gate.wait(1, 0.0, told.append) is None
    assert gate.wait(2, 7.0, entering(gate, told, "higher"))
    assert told == [("second", False, 7.0)]
    gate.leave(9.0)
    assert told[1:] == [("higher", True, 9.0)]


def test_nobody_passes_those_who_wait():
    gate = made(most=1, adaptive=False)
    gate.enter()
    gate.wait(0, 0.0, lambda *_: None)
    gate.most = 5
    assert gate.full


def test_who_leaves_the_queue_is_not_told():
    gate, told = made(most=1), []
    gate.enter()
    place = gate.wait(0, 0.0, told.append)
    place.leave()
    gate.leave(0.0)
    assert told == []
    assert gate.in_flight == 0


def test_a_place_that_nobody_takes_is_offered_to_the_next():
    gate, told = made(most=1), []
    gate.enter()
    gate.wait(0, 0.0, lambda came, now: told.append(("gone", came, now)))
    gate.wait(0, 0.0, entering(gate, told, "next"))
    gate.leave(0.0)
    assert told == [("gone", True, 0.0), ("next", True, 0.0)]
    assert gate.in_flight == 1


def test_who_leaves_on_the_spot_lets_the_next_come_however_many_wait():
    gate, told = made(most=1, queue=5000), []

    def come(_, __):
        gate.enter()
        told.append(gate.in_flight)
        gate.leave(0.0)

    gate.enter()
    for _ in range(5000):
        gate.wait(0, 0.0, come)
    gate.leave(0.0)
    assert told == [1] * 5000
    assert (gate.in_flight, gate.waiting) == (0, 0)


def test_other_settings_keep_what_is_under_way():
    gate = made(most=1)
    gate.enter()
    gate.configure(2, False, 5, 1.0)
    assert not gate.full
    gate.configure(None, True, 5, 1.0)
    found = gate.adaptive
    gate.configure(3, True, 5, 1.0)
    assert gate.adaptive is found
    assert gate.limit == 3
    assert gate.in_flight == 1


class Server:
    """Serves `slots` requests at a time, others wait for a slot; in virtual time, with as many clients as ask."""

    def __init__(self, slots: int, seed: int, most: int = 1000, streams: float = 0.0) -> None:
        """`streams`: the share of the answers whose first content comes after a tenth of the time they take."""
        self.streams = streams
        self.gate = Gate(most, True, 0, 1.0)
        self.slots = slots
        self.random = random.Random(seed)
        self.now = 0.0
        self.busy: list[tuple[float, float, bool]] = []  # ends, first content after, is a stream

    def run(self, clients: int, until: float) -> list[int]:
        """The limit, once a second."""
        busy = self.busy
        free = ([end for end, _, _ in busy] + [self.now] * self.slots)[: self.slots]
        heapq.heapify(free)
        limits = []
        tick = self.now
        while self.now < until:
            while len(busy) < clients and not self.gate.full:
                self.gate.enter()
                begins = max(self.now, heapq.heappop(free))
                takes = self.random.uniform(0.05, 0.15)
                ends, streamed = begins + takes, self.random.random() < self.streams
                heapq.heappush(free, ends)
                content_s = begins - self.now + (takes / 10 if streamed else takes)
                heapq.heappush(busy, (ends, content_s, streamed))
            self.now, content_s, streamed = heapq.heappop(busy)
            self.gate.leave(self.now, content_s, streamed)
            if self.now >= tick:
                limits.append(self.gate.limit)
                tick += 1.0
        return limits


@pytest.mark.once
@pytest.mark.parametrize("slots", [8, 24, 100])
@pytest.mark.parametrize("seed", range(3))
def test_it_finds_how_many_an_upstream_serves_at_a_time(slots, seed):
    usual = median(Server(slots, seed).run(clients=400, until=200.0)[-60:])
    assert 0.8 * slots <= usual <= max(1.2 * slots, slots + 2)


@pytest.mark.once
@pytest.mark.parametrize("streams", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_streams_and_whole_answers_are_not_compared_with_each_other(streams, seed):
    """The first content of a stream comes long before a whole answer has ended."""
    usual = median(Server(24, seed, streams=streams).run(clients=400, until=200.0)[-60:])
    assert 19 <= usual <= 29


@pytest.mark.once
def test_the_forms_may_change_places():
    server = Server(24, 4, streams=1.0)
    server.run(400, 100.0)
    server.streams = 0.0
    assert 19 <= median(server.run(400, 400.0)[-100:]) <= 29


@pytest.mark.once
def test_it_follows_an_upstream_that_gets_slower_and_one_that_grows():
    server = Server(40, 1)
    server.run(400, 40.0)
    server.slots = 20
    assert 16 <= median(server.run(400, 200.0)[-60:]) <= 24
    server.slots = 60
    assert 48 <= median(server.run(400, 500.0)[-100:]) <= 72


def test_without_demand_it_does_not_grow():
    assert max(Server(40, 2).run(clients=6, until=30.0)) <= 16


def test_refusals_lower_it_once_in_a_window():
    gate = made(most=100, adaptive=True)
    limit = gate.adaptive
    limit.limit = 50
    limit.refused(1.0)
    limit.refused(1.1)
    assert limit.limit == 45


def test_the_median_is_that_of_statistics():
    numbers = random.Random(5)
    for count in range(1, 40):
        samples = [numbers.random() for _ in range(count)]
        assert median(samples) == statistics.median(samples)
