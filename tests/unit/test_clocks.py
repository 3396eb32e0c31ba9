"""The clocks of a request by hand: a loop whose time a test sets."""

from __future__ import annotations

import asyncio

import pytest

import edge.clock
from edge.config import Resilience
from edge.errors import ClientClosedRequest, UpstreamTimeout
from edge.upload import Upload
from edge.upstreams.clocks import SWEEP_S, WRITE_STALL_S, Deadline, Sweep, Timed
from tests.unit.test_upload import Client, Held


class Clock(asyncio.SelectorEventLoop):
    """``now`` is what time it is."""

    now = 1000.0

    def time(self):
        return self.now


@pytest.fixture
def loop(monkeypatch):
    made = Clock()
    monkeypatch.setattr(edge.clock, "reading", made.time)
    yield made
    made.close()


class Told(Timed):
    """Who waits, and calls `tell` with what it is told."""

    def __init__(self, tell):
        self.tell = tell

    def expired(self, deadline, error):
        self.tell(error)


class Waiting:
    """A request with an answer that begins within a second, and is whole within `total_s`."""

    def __init__(self, loop, total_s):
        self.loop = loop
        self.told = []
        loop.run_until_complete(self._begin(total_s))

    async def _begin(self, total_s):
        settings = Resilience(first_content_s=1.0, idle_s=2.0, total_s=total_s)
        self.deadline = Deadline(Sweep(), settings, Told(self.told.append)).for_attempts(True)
        self.deadline.start()

    def after(self, seconds):
        """What is told when so much time has passed, by its class."""

        async def pass_time():
            self.loop.now += seconds
            await asyncio.sleep(0)
            self.loop.now += SWEEP_S
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        self.loop.run_until_complete(pass_time())
        return [type(error) for error in self.told]


def uploading(loop):
    """A request whose body still comes, and that."""
    waiting = Waiting(loop, total_s=5.0)

    async def started():
        coming = Upload(Client(), Held(), -1)
        waiting.deadline.stop()
        waiting.deadline.heed(coming)
        waiting.deadline.start()
        return coming

    return waiting, loop.run_until_complete(started())


def test_while_a_body_comes_no_clock_of_the_answer_runs(loop):
    waiting, coming = uploading(loop)
    for _ in range(20):
        assert waiting.after(1.5) == []
    coming.end()
    assert waiting.after(0.5) == []
    assert waiting.after(0.4) == []
    assert waiting.after(0.5) == [UpstreamTimeout]  # a second after it was taken


def test_a_provider_has_to_take_what_waits_for_it(loop):
    waiting, coming = uploading(loop)
    assert waiting.after(10) == []
    coming.add(b"x")
    assert waiting.after(1.5) == []
    coming.take()
    coming.add(b"x")
    assert waiting.after(1.5) == []
    assert waiting.after(1) == [UpstreamTimeout]


def test_who_answers_before_all_has_come_has_the_time_of_an_answer(loop):
    waiting, _ = uploading(loop)
    assert waiting.after(30) == []
    waiting.deadline.uploaded()
    assert waiting.after(0.8) == []
    assert waiting.after(0.4) == [UpstreamTimeout]


def test_what_an_upload_took_is_not_counted_in_the_total(loop):
    waiting, coming = uploading(loop)
    assert waiting.after(30) == []
    coming.end()
    assert waiting.after(0.1) == []
    waiting.deadline.next_bytes()
    assert not waiting.deadline.over()
    assert 4 < waiting.deadline.left() <= 5


def test_a_client_that_takes_nothing_has_left(loop):
    waiting = Waiting(loop, total_s=100.0)
    waiting.deadline.next_bytes()
    waiting.deadline.taken()
    assert waiting.after(WRITE_STALL_S - 1) == []
    assert waiting.after(2) == [ClientClosedRequest]


def test_a_total_that_ends_while_the_client_is_taking_what_came_last_is_a_timeout(loop):
    waiting = Waiting(loop, total_s=5.0)
    waiting.deadline.next_bytes()
    waiting.deadline.taken()
    assert waiting.after(6) == [UpstreamTimeout]


def test_a_client_that_has_taken_it_leaves_the_provider_what_it_had_left(loop):
    waiting = Waiting(loop, total_s=100.0)
    waiting.deadline.next_bytes()
    loop.now += 1.5
    waiting.deadline.taken()
    assert waiting.after(10) == []
    waiting.deadline.go_on()
    assert waiting.after(0.1) == []
    assert waiting.after(0.5) == [UpstreamTimeout]


def test_deadlines_that_end_others_and_themselves_while_all_are_looked_at(loop):
    """The first of them to be looked at ends its neighbours; the one that is left is looked at all the same."""
    told, settings = [], Resilience(attempt_s=1.0)

    async def run():
        sweep, made = Sweep(), {}

        def ended(name, *others):
            def tell(_):
                told.append(name)
                for other in others:
                    made[other].close()

            made[name] = Deadline(sweep, settings, Told(tell)).for_attempts(False)
            made[name].start()

        for name, *others in (("left",), ("second",), ("third",), ("first", "second", "third"), ("gone",)):
            ended(name, *others)
        made["gone"].stop()
        made["third"].start()  # is looked at already: nothing is twice in the list
        loop.now += 1 + SWEEP_S
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return sweep

    sweep = loop.run_until_complete(run())
    assert (told, sweep.active) == (["first", "left"], False)
