"""Money that is spent and reserved over several processes, on both builds."""

from __future__ import annotations

import mmap
import os
import signal
import tempfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EACH_BUILD, load
from tests.unit.test_limits import children

TODAY = 20786
ADMITTED, EXHAUSTED, CROWDED, UNCOUNTED = 0, 1, 2, 3


def mark(number, last=TODAY):
    return (number * 0x9E3779B97F4A7C15 % 2**48) << 16 | last & 0xFFFF


def made(module, cells=64, workers=4, lock=None):
    return module.Spend(mmap.mmap(-1, module.Spend.size(cells, workers)), cells, workers, lock)


@pytest.fixture
def lock():
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def test_what_is_reserved_and_spent_is_never_more_than_the_limit(spend_module):
    spend, one = made(spend_module), mark(1)
    assert spend.reserve(1, one, 60, 100, TODAY) == ADMITTED
    assert spend.reserve(2, one, 50, 100, TODAY) == CROWDED
    assert spend.reserve(2, one, 40, 100, TODAY) == ADMITTED
    assert (spend.spent(one), spend.held(one)) == (0, 100)
    assert spend.add(one, 30, TODAY)
    spend.release(1, one, 60)
    assert (spend.spent(one), spend.held(one)) == (30, 40)
    assert spend.reserve(1, one, 80, 100, TODAY) == EXHAUSTED
    assert spend.reserve(1, one, 31, 100, TODAY) == CROWDED
    assert spend.reserve(1, one, 30, 100, TODAY) == ADMITTED


def test_a_request_that_costs_nothing_is_refused_once_all_is_spent(spend_module):
    spend, one = made(spend_module), mark(1)
    assert spend.reserve(1, one, 0, 100, TODAY) == ADMITTED
    spend.add(one, 120, TODAY)
    assert spend.reserve(1, one, 0, 100, TODAY) == EXHAUSTED


def test_what_a_worker_that_has_ended_had_reserved_is_free_again(spend_module):
    spend, one = made(spend_module), mark(1)
    spend.reserve(1, one, 100, 100, TODAY)
    spend.add(one, 1, TODAY)
    spend.clear_worker(1)
    assert (spend.spent(one), spend.held(one)) == (1, 0)
    spend.release(1, one, 100)
    assert spend.held(one) == 0


def test_a_cell_is_another_s_when_the_day_after_its_last_is_over(spend_module):
    spend = made(spend_module, cells=8)
    # All of one place: 8 cells are all there is.
    marks = [number << 19 + 16 | TODAY & 0xFFFF for number in range(1, 9)]
    for each in marks:
        assert spend.add(each, 5, TODAY)
    late = 9 << 19 + 16 | (TODAY + 1) & 0xFFFF
    for day in (TODAY, TODAY + 1):
        assert not spend.add(late, 7, day)
        assert spend.reserve(1, late, 1, 10, day) == UNCOUNTED
    assert spend.full == 4
    assert spend.cells(TODAY + 1) == dict.fromkeys(marks, 5), "a clock may be set back"
    assert spend.add(late, 7, TODAY + 2)
    assert spend.spent(late) == 7
    assert spend.cells(TODAY + 2) == {late: 7}


def test_days_are_told_apart_beyond_65536(spend_module):
    spend = made(spend_module)
    old, new = mark(1, 65535), mark(1, 65536)
    spend.add(old, 5, 65535)
    assert spend.cells(65535) == {old: 5}
    assert spend.cells(65536) == {old: 5}
    assert spend.cells(65537) == {}
    spend.add(new, 6, 65536)
    assert spend.cells(65537) == {new: 6}


@pytest.mark.parametrize("amount", [-1, (1 << 60) + 1])
def test_an_amount_that_is_none_is_refused(spend_module, amount):
    spend = made(spend_module)
    with pytest.raises(ValueError, match="amount"):
        spend.add(mark(1), amount, TODAY)
    with pytest.raises(ValueError, match="amount"):
        spend.reserve(1, mark(1), amount, 10, TODAY)
    with pytest.raises(ValueError, match="worker"):
        spend.reserve(5, mark(1), 1, 10, TODAY)


steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle"]), st.integers(1, 3), st.integers(0, 60), st.integers(1, 2)),
    max_size=60,
)


@pytest.mark.parametrize("build", EACH_BUILD)
@given(steps)
@settings(max_examples=150)
def test_it_counts_as_one_who_counts_by_hand(build, steps):
    spend = made(load("spend", build))
    spent, held = {1: 0, 2: 0}, []
    for what, worker, amount, name in steps:
        if what == "reserve":
            reserved = sum(each for _, whose, each in held if whose == name)
            fits = spent[name] < 100 and spent[name] + reserved + amount <= 100
            got = spend.reserve(worker, mark(name), amount, 100, TODAY)
            assert (got == ADMITTED) is fits
            if fits:
                held.append((worker, name, amount))
        elif held:
            worker, name, reserved = held.pop(amount % len(held))
            spend.add(mark(name), amount // 2, TODAY)
            spent[name] += amount // 2
            spend.release(worker, mark(name), reserved)
    for name in (1, 2):
        assert spend.spent(mark(name)) == spent[name]
        assert spend.held(mark(name)) == sum(each for _, whose, each in held if whose == name)


def test_many_processes_spend_all_and_no_more(spend_module, lock):
    spend, one, limit, price = made(spend_module, workers=4, lock=lock), mark(1), 4000, 3

    def work(number):
        admitted, crowded = 0, 0
        while True:
            got = spend.reserve(number + 1, one, 10, limit, TODAY)
            if got == ADMITTED:
                admitted += 1
                spend.add(one, price, TODAY)
                spend.release(number + 1, one, 10)
            elif got == EXHAUSTED:
                return admitted
            else:
                crowded += 1
                assert crowded < 1_000_000

    admitted = sum(children(4, work))
    print(f"{admitted} admitted, {spend.spent(one)} of {limit} spent")
    assert spend.spent(one) == admitted * price
    assert limit - 10 < spend.spent(one) <= limit
    assert spend.held(one) == 0


def test_a_process_killed_at_any_time_loses_nothing_that_was_spent(spend_module, lock):
    spend, one = made(spend_module, workers=2, lock=lock), mark(1)
    said = mmap.mmap(-1, 8)
    pid = os.fork()
    if pid == 0:
        done = 0
        while True:
            spend.reserve(1, one, 10, 1 << 59, TODAY)
            spend.add(one, 3, TODAY)
            spend.release(1, one, 10)
            done += 1
            said[:8] = done.to_bytes(8, "little")
    try:
        deadline = time.monotonic() + 20
        while int.from_bytes(said[:8], "little") < 1000 and time.monotonic() < deadline:
            time.sleep(0.001)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    done = int.from_bytes(said[:8], "little")
    assert done >= 1000
    spend.clear_worker(1)
    assert spend.spent(one) in (3 * done, 3 * done + 3)
    assert spend.held(one) == 0
    assert spend.reserve(2, one, 1, 1 << 59, TODAY) == ADMITTED
