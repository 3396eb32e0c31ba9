"""Rates and concurrency over several processes, on both builds."""

from __future__ import annotations

import mmap
import os
import random
import signal
import tempfile
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EACH_BUILD, load

START = 10**15
"""ns: a machine that has been up for twelve days."""


def made(module, cells=64, workers=2, lock=None):
    """Limits in shared memory."""
    return module.Limits(mmap.mmap(-1, module.Limits.size(cells, workers)), cells, workers, lock)


@pytest.fixture
def lock():
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def children(count, work):
    """What each of several processes returns for its number, an int; one that raises fails the test."""
    pids, results = [], []
    for number in range(count):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.write(write_end, b"%d" % work(number))
                status = 0
            finally:
                os._exit(status)
        os.close(write_end)
        pids.append((pid, read_end))
    for pid, read_end in pids:
        said = os.read(read_end, 100)
        os.close(read_end)
        assert os.waitpid(pid, 0)[1] == 0
        results.append(int(said))
    return results


class Model:
    """GCRA as it is written down, without a table, in numbers of any size."""

    def __init__(self):
        self.tat = {}

    def take(self, key, interval, burst, cost, now):
        if cost > burst:
            return -2
        tat = self.tat.get(key, 0)
        tat = tat if tat <= now + burst * interval + 3600 * 10**9 else now + burst * interval
        tat = max(tat, now) + cost * interval
        if tat - burst * interval > now:
            return tat - burst * interval - now
        self.tat[key] = tat
        return 0

    def settle(self, key, interval, more, now):
        tat = self.tat.get(key, 0)
        if more:
            self.tat[key] = (
                max(tat, now) + min(more * interval, 3600 * 10**9) if more > 0 else max(tat + more * interval, 0)
            )

    def remaining(self, key, interval, burst, now):
        ahead = max(self.tat.get(key, 0) - now, 0)
        return max(burst * interval - ahead, 0) // interval, ahead


keys = st.integers(1, 5).map(lambda number: number * 0x9E3779B97F4A7C15 % 2**64)
steps = st.tuples(
    st.sampled_from(["take", "take", "take", "settle", "give_back", "remaining"]),
    keys,
    st.integers(0, 12),
    st.integers(0, 5000) | st.integers(0, 10**11),
)


@pytest.mark.parametrize("build", EACH_BUILD)
@settings(max_examples=200)
@given(st.dictionaries(keys, st.tuples(st.integers(1, 10**10), st.integers(0, 10))), st.lists(steps, max_size=60))
def test_any_operations_give_what_the_definition_gives(build, limits, operations):
    limited, model, now = made(load("limits", build)), Model(), START
    for name, key, cost, later in operations:
        now += later
        interval, burst = limits.get(key, (1000, 5))
        more = -cost if name == "give_back" else cost
        name = "settle" if name == "give_back" else name
        arguments = (key, interval, more, now) if name == "settle" else (key, interval, burst, now)
        arguments = (key, interval, burst, cost, now) if name == "take" else arguments
        assert getattr(limited, name)(*arguments) == getattr(model, name)(*arguments), (name, arguments)


def test_a_limit_of_ten_a_second_with_a_burst_of_three(limits_module):
    limited, second = made(limits_module), 10**9
    take = [limited.take(7, second // 10, 3, 1, START) for _ in range(5)]
    assert take == [0, 0, 0, second // 10, second // 10]
    assert limited.remaining(7, second // 10, 3, START) == (0, 3 * second // 10)
    assert limited.take(7, second // 10, 3, 2, START) == second // 5
    assert limited.take(7, second // 10, 3, 1, START + second // 10 - 1) == 1
    assert limited.take(7, second // 10, 3, 1, START + second // 10) == 0
    limited.settle(7, second // 10, -1, START + second // 10)
    assert limited.take(7, second // 10, 3, 1, START + second // 10) == 0
    limited.settle(7, second // 10, -1000, START + second // 10)
    assert limited.remaining(7, second // 10, 3, START + second // 10) == (3, 0)
    assert limited.take(7, second // 10, 3, 4, START) == limits_module.NEVER


def test_what_was_used_beyond_the_limit_has_to_come_back_first_up_to_an_hour(limits_module):
    limited, second = made(limits_module), 10**9
    limited.settle(7, second, 0, START)
    assert limited.remaining(7, second, 60, START) == (60, 0)
    assert limited.take(7, second, 60, 10, START) == 0
    limited.settle(7, second, 650, START)
    assert limited.remaining(7, second, 60, START) == (0, 660 * second)
    assert limited.take(7, second, 60, 1, START) == 601 * second
    assert limited.take(7, second, 60, 1, START + 601 * second) == 0
    limited.settle(8, second, 10**6, START)
    assert limited.remaining(8, second, 60, START) == (0, 3600 * second)


def test_a_cost_of_nothing_asks_whether_the_limit_is_kept_and_needs_no_cell(limits_module):
    limited = made(limits_module, 8)
    for key in range(1, 9):
        assert limited.take(key * 8, 1000, 1, 1, START) == 0
    assert limited.take(8, 1000, 1, 0, START) == 0
    assert limited.take(8 * 9, 1000, 1, 0, START) == 0
    assert limited.full_tables == 0


def test_a_full_table_denies_and_counts_and_no_key_is_admitted_on_anothers_cell(limits_module):
    limited = made(limits_module, 64)
    colliding = [1 + (number << 20) for number in range(20)]
    got = [limited.take(key, 1000, 2, 1, START) for key in colliding]
    assert got == [0] * 8 + [limits_module.TABLE_FULL] * 12
    assert limited.full_tables == 12
    assert [limited.take(key, 1000, 2, 1, START) for key in colliding[:8]] == [0] * 8
    assert [limited.take(key, 1000, 2, 1, START) for key in colliding[:8]] == [1000] * 8
    assert limited.remaining(colliding[9], 1000, 2, START) == (2, 0)
    limited.settle(colliding[9], 1000, -1, START)
    assert [limited.remaining(key, 1000, 2, START)[0] for key in colliding[:8]] == [0] * 8


def test_cells_that_have_expired_are_used_again_and_others_are_not(limits_module):
    limited = made(limits_module, 64)
    colliding = [1 + (number << 20) for number in range(9)]
    for number, key in enumerate(colliding[:8]):
        assert limited.take(key, 1000 * (number + 1), 1, 1, START) == 0
    assert limited.take(colliding[8], 1000, 1, 1, START + 999) == limits_module.TABLE_FULL
    assert limited.take(colliding[8], 10**6, 1, 1, START + 1000) == 0
    assert limited.take(colliding[0], 1000, 1, 1, START + 1000) == limits_module.TABLE_FULL
    assert limited.take(colliding[1], 2000, 1, 1, START + 1000) == 1000
    assert limited.take(colliding[0], 1000, 1, 1, START + 2000) == 0
    assert limited.take(colliding[8], 10**6, 1, 1, START + 2000) == 10**6 - 1000


def test_huge_numbers_are_cut_and_never_wrap(limits_module):
    huge, year = 2**63 - 1, 10**9 * 86400 * 365
    latest = 2**62 - 1
    for now in (0, START, latest):
        limited = made(limits_module, 64)
        for _ in range(3):
            assert limited.take(2**64 - 1, huge, huge, 0, now) == 0
        assert limited.take(2**64 - 1, huge, huge, huge, now) == 0
        assert 36 * year < limited.take(2**64 - 1, huge, huge, 1, now) < 37 * year
        assert limited.take(2**63 - 1, 1, huge, huge, now) == 0
        assert limited.remaining(2**63 - 1, 1, huge, now)[0] == 0
        for _ in range(5):
            limited.settle(2**63 - 1, huge, -huge, now)
        assert limited.remaining(2**63 - 1, 1000, 10, now) == (10, 0)
        assert limited.take(2**63, 2**31, 2**40, 2**29, now) == 0


def test_a_key_of_0_is_a_key(limits_module):
    limited = made(limits_module)
    assert [limited.take(0, 1000, 1, 1, START) for _ in range(2)] == [0, 1000]


def test_a_clock_that_goes_back_costs_no_more_than_an_hour(limits_module):
    limited, second = made(limits_module), 10**9
    assert limited.take(5, second, 2, 2, START) == 0
    assert limited.take(5, second, 2, 1, START - 30 * second) == 31 * second
    assert limited.take(5, second, 2, 1, START) == second
    assert limited.take(5, second, 2, 1, START - 7200 * second) == second
    assert limited.take(5, second, 2, 1, START - 3599 * second) == 0


@pytest.mark.parametrize(
    "arguments",
    [(1, 0, 1, 1, START), (1, -1, 1, 1, START), (1, 1, 1, -1, START), (1, 1, 1, 1, -1), (1, 1, 1, 1, 2**62)],
)
def test_numbers_outside_their_ranges_are_errors_and_change_nothing(limits_module, arguments):
    limited = made(limits_module)
    key, interval, burst, cost, now = arguments
    with pytest.raises(ValueError, match="at least"):
        limited.take(*arguments)
    if cost >= 0:
        with pytest.raises(ValueError, match="at least"):
            limited.settle(key, interval, cost, now)
        with pytest.raises(ValueError, match="at least"):
            limited.remaining(key, interval, burst, now)
    for wrong in (-1, 2**64):
        with pytest.raises(OverflowError):
            limited.take(wrong, 1, 1, 1, START)
        with pytest.raises(OverflowError):
            limited.acquire(1, wrong, 1)
    assert limited.remaining(1, 1, 1, START) == (1, 0)


def test_wrong_memory_and_workers_are_refused(limits_module):
    m = limits_module
    for cells, workers in ((0, 1), (4, 1), (9, 1), (-8, 1), (8, 0), (8, 1 << 17)):
        with pytest.raises(ValueError, match="power of two"):
            m.Limits.size(cells, workers)
    for memory in (bytes(m.Limits.size(8, 1)), bytearray(m.Limits.size(8, 1) - 1)):
        with pytest.raises(ValueError, match="bytes are needed"):
            m.Limits(memory, 8, 1)
    if m.__name__.endswith("_c"):
        with pytest.raises(ValueError, match="multiple of 16"):
            m.Limits(memoryview(bytearray(m.Limits.size(8, 1) + 8))[8:], 8, 1)
    limited = m.Limits(bytearray(m.Limits.size(8, 2)), 8, 2)
    for worker in (-1, 0, 3):
        for call in (limited.clear_worker, lambda w: limited.acquire(w, 1, 1), lambda w: limited.release(w, 1)):
            with pytest.raises(ValueError, match="no worker"):
                call(worker)


def test_four_processes_that_hammer_a_limit_are_admitted_what_it_allows(limits_module, lock):
    # A burst of a fifth of a second: what is lost while no process is given a processor is not the limit's doing.
    limited, rate, burst = made(limits_module, lock=lock), 1000, 200
    begin = time.monotonic_ns() + 50_000_000
    end = begin + 1_500_000_000

    def hammer(_number):
        admitted = 0
        while (now := time.monotonic_ns()) < end:
            admitted += now >= begin and limited.take(99, 10**9 // rate, burst, 1, now) == 0
        return admitted

    got = children(4, hammer)
    allowed = rate * (end - begin) / 1e9
    print(f"\n{limits_module.__name__}: admitted {got}, {sum(got)} of {allowed:.0f} and a burst of {burst}")
    assert allowed * 0.99 <= sum(got) <= allowed * 1.01 + burst


def test_processes_that_race_for_new_and_expired_cells_stay_within_every_limit(limits_module, lock):
    """16 keys of 8 cells that expire all the time: cells change hands at every call, between processes with clocks a
    little apart. What each key was admitted is at most what its limit allows."""
    memory, interval, burst = mmap.mmap(-1, limits_module.Limits.size(8, 1)), 200_000, 2
    limited = limits_module.Limits(memory, 8, 1, lock)
    colliding = [(number + 1) << 20 for number in range(16)]
    tallies = mmap.mmap(-1, 4 * 16 * 8)
    begin = time.monotonic_ns() + 50_000_000
    end = begin + 700_000_000

    def hammer(number):
        own = memoryview(tallies).cast("q")[number * 16 : number * 16 + 16]
        choose = random.Random(number).randrange
        while (now := time.monotonic_ns()) < end:
            which = choose(16)
            if now >= begin and limited.take(colliding[which], interval, burst, 1, now) == 0:
                own[which] += 1
        return 0

    children(4, hammer)
    counts = memoryview(tallies).cast("q").tolist()
    admitted = [sum(counts[which::16]) for which in range(16)]
    allowed = (end - begin) / interval + burst
    print(
        f"\n{limits_module.__name__}: at most {max(admitted)} admitted of {allowed:.0f}, {limited.full_tables} refused"
    )
    assert max(admitted) <= allowed * 1.01
    cells = memoryview(memory).cast("q").tolist()[8 : 8 + 16]
    live = [key for key, tat in zip(cells[::2], cells[1::2], strict=True) if tat > end]
    assert len(live) == len(set(live)), "no key has two cells"


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize(("mine", "rivals"), [(0, [2]), (3, [1]), (3, [1, 5]), (0, [1, 2, 7])])
def test_two_cells_of_one_key_become_one_and_owe_what_both_did(mine, rivals, room, monkeypatch):
    """Others claim cells of the same key at the same time: only in the pure build can a test step between."""
    module = load("limits", "pure")
    memory = bytearray(module.Limits.size(64, 1))
    limited, key = module.Limits(memory, 64, 1), 64
    words = memoryview(memory).cast("q")
    for cell in range(mine):
        words[8 + 2 * cell], words[9 + 2 * cell] = 128 + cell, START + 1
    claim = module.Limits._claim

    def both_claim(*arguments):
        claimed = claim(*arguments)
        for rival in rivals:
            words[8 + 2 * rival], words[9 + 2 * rival] = key, START + 3000
        return claimed

    monkeypatch.setattr(module.Limits, "_claim", both_claim)
    owed = 3 * len(rivals)
    assert limited.take(key, 1000, owed + room, 1, START) == (0 if room else 1000)
    assert words[8 : 8 + 16].tolist()[::2].count(key) == 1
    assert words[8 + 2 * min(mine, *rivals)] == key
    assert limited.remaining(key, 1000, 20, START)[1] == (owed + room) * 1000


def test_one_at_a_time_and_the_place_is_free_again(limits_module):
    limited = made(limits_module)
    assert [limited.acquire(1, 5, 2), limited.acquire(2, 5, 2), limited.acquire(1, 5, 2)] == [True, True, False]
    assert limited.acquire(2, 6, 1) is True
    assert limited.held(5) == 2
    limited.release(1, 5)
    limited.release(1, 5)
    limited.release(1, 77)
    assert limited.held(5) == 1
    assert limited.acquire(1, 5, 1) is False
    assert limited.acquire(1, 5, 0) is False
    assert limited.acquire(1, 5, -3) is False
    assert limited.acquire(1, 5, 2) is True
    limited.clear_worker(1)
    assert limited.held(5) == 1
    assert limited.held(6) == 1


def test_a_full_region_refuses_and_counts_and_places_are_used_again(limits_module):
    limited = made(limits_module)
    colliding = [1 + (number << 20) for number in range(10)]
    assert [limited.acquire(1, key, 1) for key in colliding] == [True] * 8 + [None] * 2
    assert limited.full_regions == 2
    assert limited.acquire(2, colliding[8], 1) is True
    limited.release(1, colliding[3])
    assert limited.acquire(1, colliding[9], 1) is True
    assert limited.acquire(2, colliding[3], 1) is True
    assert limited.acquire(1, colliding[3], 2) is None


@pytest.mark.parametrize("build", EACH_BUILD)
@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["acquire", "release", "clear"]), st.integers(1, 3), keys), max_size=60))
def test_any_acquiring_gives_what_a_counter_gives(build, operations):
    limited = made(load("limits", build), workers=3)
    held: Counter = Counter()
    for name, worker, key in operations:
        total = sum(held[w, key] for w in (1, 2, 3))
        if name == "acquire":
            assert limited.acquire(worker, key, 3) is (total < 3)
            held[worker, key] += total < 3
        elif name == "release":
            limited.release(worker, key)
            held[worker, key] = max(held[worker, key] - 1, 0)
        else:
            limited.clear_worker(worker)
            held = Counter({at: count for at, count in held.items() if at[0] != worker})
        assert limited.held(key) == sum(held[w, key] for w in (1, 2, 3))


def test_processes_never_hold_more_than_the_limit(limits_module, lock):
    limited, limit = made(limits_module, workers=4, lock=lock), 2
    # Each holder's byte: as others' are read while one is held, more than the limit at once would be seen.
    holding = mmap.mmap(-1, 4)
    end = time.monotonic() + 1

    def hold(number):
        got = 0
        while time.monotonic() < end:
            if limited.acquire(number + 1, 8, limit):
                holding[number] = 1
                got += 1
                assert sum(holding[:]) <= limit
                holding[number] = 0
                limited.release(number + 1, 8)
        return got

    got = children(4, hold)
    print(f"\n{limits_module.__name__}: held {got} times")
    assert min(got) > 0, "none is starved"
    assert limited.held(8) == 0


def test_what_a_killed_process_held_ends_when_its_worker_is_cleared(limits_module, lock):
    limited = made(limits_module, lock=lock)
    assert limited.acquire(1, 3, 10) is True
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        for _ in range(5):
            limited.acquire(2, 3, 10)
        os.write(write_end, b".")
        while True:
            limited.take(9, 10**6, 10, 1, time.monotonic_ns())
            limited.acquire(2, 4, 10)
            limited.release(2, 4)
    assert os.read(read_end, 1) == b"."
    time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read_end)
    os.close(write_end)
    assert limited.held(3) == 6
    limited.clear_worker(2)
    assert (limited.held(3), limited.held(4)) == (1, 0)
    later = time.monotonic_ns() + 10**8
    assert limited.take(9, 10**6, 10, 10, later) == 0
    assert limited.take(9, 10**6, 10, 1, later) == 10**6
