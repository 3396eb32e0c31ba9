"""Traces on their way: who waits for a collector, what is dropped, and what is counted."""

from __future__ import annotations

import threading
import time

import pytest

import edge.telemetry.exporting
from edge.telemetry.exporting import FLUSH_S, MAX_BATCH, MAX_QUEUED, Exporter
from edge.telemetry.spans import Kept, Span
from edge.trace_context import Sampling, fresh
from tests.harness import until


class Log:
    def __init__(self):
        self.lines = []

    def info(self, event, **fields):
        self.lines.append(event)

    warning = error = info


class Collector:
    """Takes what it is sent, refuses it, or stands still until it is `moved`."""

    def __init__(self, takes=True):
        self.takes = takes
        self.batches = []
        self.moved = threading.Event()
        self.moved.set()
        self.closed = False

    def send(self, batch):
        self.batches.append(batch)
        self.moved.wait()
        return self.takes

    def close(self):
        self.closed = True


def trace(size=3000):
    span = Span("a", "SERVER", "00f067aa0ba902b7", "", 1.0, 2.0, {}, [])
    return Kept(fresh("0af7651916cd43dd8448eb211c80319c", Sampling(1.0)), [span, span], size)


@pytest.fixture
def exporter(monkeypatch):
    monkeypatch.setattr(edge.telemetry.exporting, "WAIT_S", 0.02)
    made = []

    def make(collector):
        made.append(Exporter("http://127.0.0.1:9", "here", Log(), collector))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each._collector.moved.set()
        each.end()
        each.wait()


def counted(exporter):
    exported, (refused, lost) = exporter.news()
    return exported, refused, lost


def test_what_is_put_is_sent_in_batches_and_counted(exporter):
    collector = Collector()
    mine = exporter(collector)
    for _ in range(5):
        mine.put(trace())
    until(lambda: sum(map(len, collector.batches)) == 5)
    until(lambda: mine._exported == 10)
    assert counted(mine) == (10, 0, 0)
    assert counted(mine) == (0, 0, 0)


def test_a_batch_is_bounded_and_a_full_one_does_not_wait(exporter, monkeypatch):
    monkeypatch.setattr(edge.telemetry.exporting, "WAIT_S", 60.0)
    collector = Collector()
    mine = exporter(collector)
    for _ in range(MAX_BATCH):
        mine.put(trace())
    until(lambda: sum(map(len, collector.batches)) == MAX_BATCH)
    assert max(map(len, collector.batches)) <= MAX_BATCH


def test_what_has_come_while_a_collector_was_slow_is_sent_batch_after_batch(exporter, monkeypatch):
    monkeypatch.setattr(edge.telemetry.exporting, "WAIT_S", 60.0)
    collector = Collector()
    collector.moved.clear()
    mine = exporter(collector)
    for _ in range(MAX_BATCH):
        mine.put(trace())
    until(lambda: collector.batches)
    for _ in range(3 * MAX_BATCH):
        mine.put(trace())
    collector.moved.set()
    until(lambda: sum(map(len, collector.batches)) == 4 * MAX_BATCH)


def test_a_defect_costs_the_traces_that_it_befell_and_not_those_after_them(exporter):
    class Defective(Collector):
        def send(self, batch):
            if not self.batches:
                self.batches.append(batch)
                raise RecursionError
            return super().send(batch)

    mine = exporter(Defective())
    mine.put(trace())
    until(lambda: mine._lost == 2)
    mine.put(trace())
    until(lambda: mine._exported == 2)
    assert mine._log.lines[0] == "internal error"
    assert counted(mine) == (2, 0, 2)


def test_a_collector_that_stands_still_costs_what_finds_no_room_and_nobody_waits(exporter, stalls):
    collector = Collector()
    collector.moved.clear()
    mine = exporter(collector)
    mine.put(trace())
    until(lambda: collector.batches)
    begun = time.perf_counter()
    taken = 0
    while not mine.full(2):
        mine.put(trace())
        taken += 1
    took = time.perf_counter() - begun
    assert taken == pytest.approx(MAX_QUEUED / 3000, abs=2)
    assert took / taken < 0.0005 + stalls.granted_s
    assert counted(mine) == (0, 2, 0)
    collector.moved.set()
    until(lambda: not mine.full(0))
    until(lambda: mine._exported == 2 * (taken + 1))


def test_what_a_collector_does_not_take_is_lost_and_told_of_once(exporter):
    collector = Collector(takes=False)
    mine = exporter(collector)
    for number in range(3):
        mine.put(trace())
        until(lambda seen=number: mine._lost == 2 * (seen + 1))
    assert mine._log.lines == ["traces cannot be exported"]
    collector.takes = True
    mine.put(trace())
    until(lambda: mine._exported == 2)
    assert mine._log.lines == ["traces cannot be exported", "traces are exported again"]
    assert counted(mine) == (2, 0, 6)


def test_at_the_end_what_is_queued_is_sent(exporter, monkeypatch):
    monkeypatch.setattr(edge.telemetry.exporting, "WAIT_S", 60.0)
    collector = Collector()
    mine = exporter(collector)
    for _ in range(MAX_BATCH + 9):
        mine.put(trace())
    mine.end()
    mine.wait()
    assert sum(map(len, collector.batches)) == MAX_BATCH + 9
    assert collector.closed
    assert counted(mine) == (2 * (MAX_BATCH + 9), 0, 0)


def test_the_end_does_not_wait_for_a_collector_that_stands_still(exporter, stalls):
    collector = Collector()
    collector.moved.clear()
    mine = exporter(collector)
    mine.put(trace())
    until(lambda: collector.batches)
    mine.put(trace())
    begun = time.monotonic()
    mine.end()
    mine.wait()
    assert time.monotonic() - begun < FLUSH_S + 0.5 + stalls.granted_s
    assert collector.closed
    assert counted(mine) == (0, 0, 2)
