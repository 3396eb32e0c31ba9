"""Shared counters, gauges and histograms, on both builds."""

from __future__ import annotations

import bisect
import math
import mmap
import os
import signal
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EACH_BUILD, load

BOUNDS = (0.1, 1.0, 5.0)


def made(module, regions=2, region_bytes=1 << 16, cap=2000):
    """Slots in shared memory, and a writer of region 1 with a metric of each kind."""
    slots = module.Slots(mmap.mmap(-1, module.Slots.size(regions, region_bytes)), regions, region_bytes)
    return slots, writer(module, slots, 1, cap)


def writer(module, slots, region, cap=2000):
    new = module.SlotWriter(slots, region, cap)
    new.define(0, module.COUNTER)
    new.define(1, module.HISTOGRAM, BOUNDS)
    new.define(2, module.GAUGE)
    new.define(3, module.GAUGE_MAX)
    new.define(4, module.GAUGE_MIN)
    return new


def values(slots) -> dict:
    """What was counted, without the empty series beyond the cap."""
    return {(metric, labels): found for metric, _, labels, found in slots.read()[0] if labels is not None or any(found)}


labels = st.binary(max_size=20)
amounts = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.integers(-5, 100).map(float)
operations = st.lists(
    st.tuples(st.sampled_from(["add", "observe", "set", "max", "min"]), st.integers(1, 2), labels, amounts)
    | st.tuples(st.just("end"), st.integers(1, 2), st.just(b""), st.just(0.0)),
    max_size=40,
)


@pytest.mark.parametrize("build", EACH_BUILD)
@settings(max_examples=150)
@given(operations)
def test_any_operations_give_what_a_dict_gives(build, steps):
    module = load("slots", build)
    slots, first = made(module)
    writers = {1: first, 2: writer(module, slots, 2)}
    kept: dict = {}
    gauges: dict = {1: {}, 2: {}}
    for name, region, label, amount in steps:
        if name == "end":
            slots.fold(region)
            writers[region] = writer(module, slots, region)
            gauges[region] = {}
        elif name == "add":
            writers[region].counter(0, label).tell(amount)
            kept.setdefault((0, label), [0.0])[0] += amount if 0 < amount <= 1e15 else 0
        elif name == "observe":
            writers[region].histogram(1, label).tell(amount)
            cells = kept.setdefault((1, label), [0.0] * 5)
            if 0 <= amount <= 1e15:
                cells[bisect.bisect_left(BOUNDS, amount)] += 1
                cells[4] += amount
        elif math.isfinite(amount):
            metric = {"set": 2, "max": 3, "min": 4}[name]
            writers[region].counter(metric, label).tell(amount)
            gauges[region][metric, label] = amount
    for metric, combine in ((2, sum), (3, max), (4, min)):
        for key in {key for each in gauges.values() for key in each if key[0] == metric}:
            kept[key] = [combine(each[key] for each in gauges.values() if key in each)]
    assert {key: pytest.approx(found) for key, found in values(slots).items()} == kept


def test_beyond_the_cap_and_in_a_full_region_the_rest_is_counted_together(slots_module):
    slots, new = made(slots_module, cap=3)
    for number in range(10):
        new.counter(0, b"%d" % number).tell(1)
        new.counter(0, b"0").tell(1)
    assert values(slots) == {(0, b"0"): [11], (0, b"1"): [1], (0, b"2"): [1], (0, None): [7]}
    assert slots.read()[1] == {0: 7, 1: 0, 2: 0, 3: 0, 4: 0}
    slots, new = made(slots_module, region_bytes=1024)
    for number in range(100):
        new.histogram(1, b"%d" % number).tell(0.5)
    found = values(slots)
    assert len(found) < 30
    assert sum(sum(cells[:-1]) for cells in found.values()) == 100
    assert slots.read()[1][1] == found[1, None][1] == 100 - (len(found) - 1)
    assert new.counter(0, b"x" * 100_000) is new.counter(0, b"y" * 2000)


def test_a_gauge_of_the_smallest_value_leaves_out_who_knows_none(slots_module):
    slots, first = made(slots_module)
    second = writer(slots_module, slots, 2)
    for one, other, told in ((math.nan, 5.0, 5.0), (5.0, math.nan, 5.0), (3.0, 5.0, 3.0)):
        first.counter(4, b"a").tell(one)
        second.counter(4, b"a").tell(other)
        assert values(slots)[4, b"a"] == [told]
    first.counter(4, b"a").tell(math.nan)
    second.counter(4, b"a").tell(math.nan)
    assert math.isnan(values(slots)[4, b"a"][0])


def test_what_found_no_room_is_kept_for_each_metric_when_its_process_ends(slots_module):
    slots, new = made(slots_module, cap=1)
    for number in range(5):
        new.counter(0, b"%d" % number).tell(1)
        new.counter(2, b"%d" % number).tell(1)
    slots.fold(1)
    assert slots.read()[1] == {0: 4, 1: 0, 2: 4, 3: 0, 4: 0}


def test_a_full_region_0_loses_no_count(slots_module):
    slots, new = made(slots_module, region_bytes=1024)
    for turn in range(20):
        for number in range(10):
            new.counter(0, b"%d-%d" % (turn, number)).tell(1)
        before = sum(found[0] for found in values(slots).values())
        slots.fold(1)
        assert sum(found[0] for found in values(slots).values()) == before == (turn + 1) * 10
        new = writer(slots_module, slots, 1)
    assert slots.read()[1][0] > 0


def test_an_entry_that_is_half_written_is_not_read_and_does_no_harm_later(slots_module):
    memory = bytearray(slots_module.Slots.size(1, 4096))
    slots = slots_module.Slots(memory, 1, 4096)
    new = writer(slots_module, slots, 1)
    new.counter(0, b"a").tell(1)
    words = memoryview(memory).cast("q")
    length = slots_module.HEAD + 4 * 4096 // 8 + slots_module.USED  # region 0 is four times as large
    before = words[length]
    new.counter(0, b"b").tell(5)
    assert words[length] == before + 4
    words[length] = before  # as if the process had been killed before it stored the length
    assert values(slots) == {(0, b"a"): [1]}
    slots.fold(1)
    assert values(slots) == {(0, b"a"): [1]}
    new = writer(slots_module, slots, 1)
    new.counter(0, b"a").tell(1)
    new.counter(0, b"c")
    assert values(slots) == {(0, b"a"): [2], (0, b"c"): [0]}


def test_while_a_region_is_folded_nothing_is_read(slots_module):
    memory = bytearray(slots_module.Slots.size(1))
    slots = slots_module.Slots(memory, 1)
    memory[0] = 1
    assert slots.read() is None
    memory[0] = 2
    assert slots.read() == ([], {})


def test_what_is_wrong_is_refused(slots_module):
    m = slots_module
    for size, regions, region_bytes in ((100, 1, 4096), (10_000, 0, 4096), (10_000, 1, 63), (10_000, 1, 8)):
        with pytest.raises(ValueError, match="bytes"):
            m.Slots(bytearray(size), regions, region_bytes)
    with pytest.raises(ValueError, match="bytes"):
        m.Slots(bytes(m.Slots.size(1)), 1)
    if m.__name__.endswith("_c"):
        with pytest.raises(ValueError, match="multiple of 8"):
            m.Slots(memoryview(bytearray(m.Slots.size(1) + 8))[1:], 1)
    slots, new = made(m)
    for region in (-1, 0, 3):
        with pytest.raises(ValueError, match="region"):
            slots.fold(region)
        with pytest.raises(ValueError, match="region"):
            m.SlotWriter(slots, region)
    with pytest.raises(ValueError, match="not free"):
        m.SlotWriter(slots, 1)
    wrong = [(0, m.COUNTER, ()), (70_000, m.COUNTER, ()), (9, 7, ()), (9, m.HISTOGRAM, ()), (9, m.COUNTER, (1,))]
    for arguments in [*wrong, (9, m.HISTOGRAM, (2, 1)), (9, m.HISTOGRAM, tuple(range(33)))]:
        with pytest.raises(ValueError, match="metric"):
            new.define(*arguments)
    for wrong_use in (lambda: new.histogram(0, b""), lambda: new.counter(1, b""), lambda: new.counter(9, b"")):
        with pytest.raises(KeyError):
            wrong_use()
    with pytest.raises(ValueError, match="memory"):
        m.Counter(slots, 1 << 40)
    with pytest.raises(ValueError, match="memory"):
        m.Histogram(slots, m.Slots.size(2, 1 << 16) // 8 - 4, BOUNDS)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 15, 16, 31, 32])
def test_a_value_is_in_the_bucket_of_the_first_bound_that_is_not_below_it(slots_module, count):
    slots, new = made(slots_module)
    bounds = tuple([0.5 * (n + 1) for n in range(count)])
    new.define(9, slots_module.HISTOGRAM, bounds)
    told = [0.0, *bounds, *[bound + 0.1 for bound in bounds], *[math.nextafter(bound, 0) for bound in bounds], 1e15]
    histogram, expected = new.histogram(9, b""), [0.0] * (count + 1)
    for value in told:
        histogram.tell(value)
        expected[bisect.bisect_left(bounds, value)] += 1
    assert values(slots)[9, b""][:-1] == expected


def work(module, slots, region, number, turn) -> None:
    """In a child: count until killed, with labels that others have and labels of its own."""
    new = writer(module, slots, region)
    new.counter(2, b"").tell(1)
    shared = new.counter(0, b"all")
    while True:
        for i in range(50):
            shared.tell(1)
            new.counter(0, b"%d-%d" % (number, i)).tell(1)
            new.histogram(1, b"turn-%d" % (turn % 5)).tell(i / 10)


def test_readers_never_see_a_total_go_back_while_writers_die_and_are_replaced(slots_module):
    regions = 3
    slots, _ = made(slots_module, regions, 1 << 18)
    slots.fold(1)
    read_end, write_end = os.pipe()
    reader = os.fork()
    if reader == 0:
        latest: Counter = Counter()
        reads = 0
        complaint = b""
        signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
        while not complaint:
            found = slots.read()
            if found is None:
                continue
            reads += 1
            now = Counter({(m, key): sum(v) for m, kind, key, v in found[0] if kind in (1, 2)})
            gone = [key for key in latest if now[key] < latest[key] * (1 - 1e-12)]
            if gone:
                complaint = repr((gone[0], latest[gone[0]], now[gone[0]])).encode()
            latest = now
            if reads % 50 == 0:
                os.write(write_end, b".")
        os.write(write_end, complaint)
        os._exit(1)
    os.set_blocking(read_end, False)
    children = {}
    turns = 0
    begun = time.monotonic()
    try:
        while time.monotonic() - begun < 3:
            for region in range(1, regions + 1):
                if region in children:
                    os.kill(children[region], signal.SIGKILL)
                    os.waitpid(children[region], 0)
                    slots.fold(region)
                pid = os.fork()
                if pid == 0:
                    try:
                        work(slots_module, slots, region, region, turns)
                    finally:
                        os._exit(1)
                children[region] = pid
                turns += 1
                time.sleep(0.02)
    finally:
        for pid in children.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        ended = os.waitpid(reader, os.WNOHANG)
        if ended == (0, 0):
            os.kill(reader, signal.SIGTERM)
            os.waitpid(reader, 0)
    said = os.read(read_end, 65536)
    os.close(read_end)
    os.close(write_end)
    assert ended == (0, 0), said
    assert said.strip(b".") == b""
    assert said
    for region in children:
        slots.fold(region)
    final = {(m, key): v for m, _, key, v in slots.read()[0]}
    assert final[0, b"all"][0] > turns * 20
    assert (2, b"") not in final
    own = sum(v[0] for (m, key), v in final.items() if m == 0 and key not in (b"all", None))
    assert abs(own - final[0, b"all"][0]) <= turns, "at most one of each killed process is in flight"
    print(f"\n{turns} processes, {final[0, b'all'][0]:.0f} counts, {len(said) * 50}+ readings, none went back")
