"""The cache that keeps what is asked for often, on both builds."""

from __future__ import annotations

import bisect
import gc
import itertools
import random
import weakref
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import BUILDS, load

FOREVER = 1e18
BESIDE = load("lfu", "pure").ENTRY_BYTES + 32


class Value:
    """Something that a weak reference can watch."""


def name(number: int) -> bytes:
    return b"%032d" % number


def filled(module, entries, weight=1000 - BESIDE, **options):
    """A cache with room for so many entries of 1,000 bytes."""
    cache = module.LFUCache(entries * 1000, **options)
    return cache, lambda number, value="x", end=FOREVER, now=0.0: cache.put(name(number), value, weight, end, now)


keys = st.integers(0, 12)
weights = st.integers(0, 3000) | st.sampled_from([0, 20_000, 2**62, 2**63 - 1])
times = st.floats(0, 30)
operations = st.lists(
    st.tuples(st.just("put"), keys, weights, times)
    | st.tuples(st.just("get"), keys)
    | st.tuples(st.just("remove"), keys)
    | st.tuples(st.just("clear"))
    | st.tuples(st.just("wait"), st.floats(0, 5)),
    max_size=80,
)


def play(cache, steps):
    """Each step's answer and what the counters say then; checks what holds of every cache."""
    put: dict = {}
    now, value, refused, said = 0.0, 0, 0, []
    for step in steps:
        kind = step[0]
        if kind == "put":
            value += 1
            kept = cache.put(name(step[1]), value, step[2], now + step[3], now)
            put[step[1]] = (value, now + step[3], step[2]) if kept else None
            refused += not kept
            said.append(kept)
        elif kind == "get":
            got = cache.get(name(step[1]), now)
            last = put.get(step[1])
            assert got is None or (got == last[0] and now < last[1])
            if got is None:
                put[step[1]] = None
            said.append(got)
        elif kind == "remove":
            said.append(cache.remove(name(step[1])))
            put[step[1]] = None
        elif kind == "clear":
            cache.clear()
            put = {}
            assert (len(cache), cache.weight) == (0, 0)
        else:
            now += step[1]
        assert 0 <= cache.weight <= cache.max_bytes
        assert cache.weight >= len(cache) * BESIDE
        assert cache.rejected == refused
        said.append((len(cache), cache.weight, cache.evictions, cache.expired))
    kept = [key for key in range(13) if cache.get(name(key), -1.0) is not None]
    assert len(kept) == len(cache)
    assert cache.weight == sum(put[key][2] + BESIDE for key in kept)
    return said


@pytest.mark.once
@settings(max_examples=200)
@given(st.sampled_from([0, 1, 5000, 9999, 50_000]), st.integers(-5, 2**70), operations)
def test_any_operations_keep_the_bounds_and_the_builds_agree(max_bytes, seed, steps):
    pure, compiled = (load("lfu", build).LFUCache(max_bytes, seed=seed) for build in BUILDS)
    assert play(pure, steps) == play(compiled, steps)


@pytest.mark.once
def test_the_builds_agree_where_much_is_evicted_and_counts_are_halved():
    choose = random.Random(5)
    made = [load("lfu", build).LFUCache(200_000, seed=9) for build in BUILDS]
    for step in range(20_000):
        key = name(int(choose.paretovariate(0.6)) % 5000)
        weight, end = choose.choice([10, 500, 5000, 150_000]), step + choose.choice([5, 500, 1e9])
        got = [cache.get(key, float(step)) for cache in made]
        assert got[0] == got[1]
        if got[0] is None:
            assert len({cache.put(key, step, weight, end, float(step)) for cache in made}) == 1
    a, b = ((len(c), c.weight, c.evictions, c.expired, c.rejected) for c in made)
    assert a == b
    assert min(a) > 0


def test_what_was_put_last_is_found_until_it_expires(lfu_module):
    cache = lfu_module.LFUCache(10_000)
    assert cache.get(b"a", 0.0) is None
    assert cache.put(b"a", "old", 10, 5.0, 0.0) is True
    assert cache.put(b"a", "new", 20, 7.0, 1.0) is True
    assert cache.weight == 20 + 1 + lfu_module.ENTRY_BYTES
    assert cache.get(b"a", 6.999) == "new"
    assert cache.get(b"a", 7.0) is None
    assert (len(cache), cache.weight, cache.expired) == (0, 0, 1)
    assert cache.put(b"a", "dead", 10, 7.0, 7.0) is False
    assert cache.remove(b"a") is False
    assert cache.put(b"a", "x", 10, 9.0, 7.0) is True
    assert cache.remove(b"a") is True
    assert cache.get(b"a", 7.0) is None


def test_what_is_too_large_is_not_kept_nor_is_what_it_was_to_replace(lfu_module):
    cache = lfu_module.LFUCache(1000)
    most = 990 - BESIDE
    assert cache.put(name(1), "x", most, FOREVER, 0.0) is True
    assert cache.put(name(1), "y", most + 1, FOREVER, 0.0) is False
    assert cache.get(name(1), 0.0) is None
    assert cache.put(name(1), "z", 2**63 - 1, FOREVER, 0.0) is False
    assert (len(cache), cache.weight, cache.rejected) == (0, 0, 2)


def test_wrong_numbers_are_errors(lfu_module):
    for wrong in (-1, 2**62 + 1, 2**70):
        with pytest.raises(ValueError, match="bytes"):
            lfu_module.LFUCache(wrong)
    cache = lfu_module.LFUCache(10_000)
    with pytest.raises(ValueError, match="weight"):
        cache.put(b"a", "x", -1, FOREVER, 0.0)
    assert cache.put(b"a", "x", 1, float("nan"), 0.0) is False
    assert len(cache) == 0


def test_hits_on_a_zipf_trace_are_not_fewer_than_with_lru(lfu_module):
    choose, room = random.Random(1), 200
    sums = list(itertools.accumulate((rank + 1) ** -0.9 for rank in range(5000)))
    trace = [bisect.bisect_left(sums, choose.random() * sums[-1]) for _ in range(30_000)]
    cache, put = filled(lfu_module, room)
    recent: OrderedDict = OrderedDict()
    ours = theirs = 0
    for key in trace:
        if cache.get(name(key), 0.0):
            ours += 1
        else:
            put(key)
        if key in recent:
            theirs += 1
            recent.move_to_end(key)
        else:
            recent[key] = True
            if len(recent) > room:
                recent.popitem(last=False)
    print(f"\n{lfu_module.__name__}: {ours / len(trace):.3f}, LRU {theirs / len(trace):.3f}")
    assert ours >= theirs * 1.05


def test_what_is_asked_for_once_does_not_flush_what_is_asked_for_often(lfu_module):
    cache, put = filled(lfu_module, 100)
    for _ in range(5):
        for hot in range(50):
            if cache.get(name(hot), 0.0) is None:
                put(hot)
    for once in range(1000, 1500):
        assert cache.get(name(once), 0.0) is None
        put(once)
    assert sum(cache.get(name(hot), 0.0) is not None for hot in range(50)) >= 48


def test_new_popular_keys_get_in_though_all_that_is_here_looks_popular(lfu_module):
    """As by hash flooding: each resident's estimate is the highest there is, whenever a newcomer wants its place."""
    cache, put = filled(lfu_module, 11, seed=3)
    residents = range(10)
    for hot in residents:
        assert put(hot) is True
    tries, admitted = 0, False
    while not admitted and tries < 2000:
        tries += 1
        assert cache.get(name(99), 0.0) is None
        for hot in residents:
            for _ in range(8 if tries > 1 else 15):
                cache.get(name(hot), 0.0)
        admitted = put(99)
    print(f"\n{lfu_module.__name__}: in after {tries} tries")
    assert 15 < tries < 2000


def test_a_large_candidate_must_beat_all_that_would_have_to_go_together(lfu_module):
    cache, put = filled(lfu_module, 100)
    for _ in range(3):
        for small in range(99):
            if cache.get(name(small), 0.0) is None:
                put(small)
    for _ in range(5):
        assert cache.get(name(500), 0.0) is None
    assert cache.put(name(500), "large", 10_000 - BESIDE, FOREVER, 0.0) is False
    assert cache.put(name(501), "small", 1000 - BESIDE, FOREVER, 0.0) is True
    assert sum(cache.get(name(small), 0.0) is not None for small in range(99)) >= 98


def test_the_dead_are_removed_by_puts_alone_wherever_they_are(lfu_module):
    cache, put = filled(lfu_module, 400)
    for key in range(300):
        put(key, end=10.0)
    for key in range(0, 300, 2):
        assert cache.get(name(key), 1.0)
    for live in range(1000, 1050):
        put(live, now=1.0)
    for turn in range(300):
        # Hits move what lives to the end of its queue, before the hand.
        for live in range(1000, 1050):
            assert cache.get(name(live), 11.0)
        assert cache.put(name(1000), "x", 1000 - BESIDE, FOREVER, 11.0 + turn)
    assert len(cache) == 50
    assert cache.expired == 300


def test_the_dead_make_room_before_the_living(lfu_module):
    cache, put = filled(lfu_module, 100)
    for key in range(100):
        for _ in range(8):
            cache.get(name(key), 0.0)
        put(key, end=5.0)
    for key in range(200, 290):
        assert put(key, now=6.0) is True
    assert sum(cache.get(name(key), 6.0) is not None for key in range(200, 290)) == 90


@pytest.mark.parametrize("way", ["evict", "remove", "clear", "replace", "expire", "sweep", "reject"])
def test_values_are_freed_at_once_without_the_collector(lfu_module, way):
    cache, put = filled(lfu_module, 20)
    values = [Value() for _ in range(20)]
    watched = [weakref.ref(value) for value in values]
    for key, value in enumerate(values):
        put(key, value, end=10.0)
    del value
    values.clear()
    gc.collect()
    gc.disable()
    try:
        before = sum(ref() is not None for ref in watched)
        assert before == len(cache) > 15
        if way == "evict":
            for key in range(100, 200):
                for _ in range(3):
                    cache.get(name(key), 0.0)
                put(key)
        elif way == "clear":
            cache.clear()
        elif way == "sweep":
            for _ in range(60):
                cache.put(b"", "x", 0, FOREVER, 11.0)
        else:
            for key in range(20):
                if way == "remove":
                    cache.remove(name(key))
                elif way == "replace":
                    put(key)
                elif way == "reject":
                    assert cache.put(name(key), "x", 1 << 40, FOREVER, 0.0) is False
                else:
                    assert cache.get(name(key), 10.0) is None
        assert [ref() for ref in watched] == [None] * 20
    finally:
        gc.enable()


def test_a_value_that_calls_the_cache_as_it_is_freed_harms_nothing(lfu_module):
    cache, put = filled(lfu_module, 30)
    numbers = itertools.count(1000)

    class Nosy:
        def __del__(self):
            if next(numbers) < 3000:
                put(next(numbers), Nosy())
                cache.get(name(1), 0.0)
                cache.remove(name(next(numbers) % 50))
                if next(numbers) % 40 == 0:
                    cache.clear()

    for _ in range(20):
        for key in range(60):
            cache.get(name(key), 0.0)
            put(key, Nosy(), end=5.0)
            assert cache.weight <= cache.max_bytes
    for key in range(60):
        cache.get(name(key), 6.0)
    cache.clear()
    cache.clear()
    while len(cache):
        cache.clear()
    assert cache.weight == 0


def test_a_large_cache_is_dropped_whole(lfu_module):
    cache, put = filled(lfu_module, 50_000)
    watched = Value()
    reference = weakref.ref(watched)
    for key in range(40_000):
        put(key, watched)
    del watched, put, cache
    gc.collect()
    assert reference() is None
