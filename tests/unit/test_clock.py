"""The clock of requests is Python's own."""

from __future__ import annotations

import time

from edge import clock


def test_it_reads_what_python_reads():
    for _ in range(100):
        before = time.perf_counter()
        between = clock.perf_counter()
        assert before <= between <= time.perf_counter()


def test_another_may_be_in_its_place(monkeypatch):
    monkeypatch.setattr(clock, "reading", lambda: 7.0)
    assert clock.perf_counter() == 7.0
