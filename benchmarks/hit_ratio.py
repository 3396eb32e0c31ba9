"""``python -m benchmarks.hit_ratio [--requests N]``: how often caches have what is asked for, on several traces.

Ours, plain LRU, moka-py (where it is installed) and the optimum: Belady's rule, which knows the future (for entries of
different sizes it is no longer the best possible, but what knowing the future gives). A request that finds nothing puts
the entry. The traces are the same for all, from a fixed seed.
"""

from __future__ import annotations

import argparse
import bisect
import hashlib
import heapq
import itertools
import random
from collections import OrderedDict
from collections.abc import Callable

from edge._fast import COMPILED, ENTRY_BYTES, LFUCache

try:
    import moka_py
except ImportError:
    moka_py = None

KEYS = 100_000
UNIT = 2000
FOREVER = 1e18
Trace = list[int]


def zipf(choose: random.Random, skew: float, keys: int, requests: int) -> Trace:
    """Numbers from 0, the number n about (n + 1) ** -skew as often as 0."""
    sums = list(itertools.accumulate((rank + 1) ** -skew for rank in range(keys)))
    return [bisect.bisect_left(sums, choose.random() * sums[-1]) for _ in range(requests)]


def scans(choose: random.Random, requests: int) -> Trace:
    """Zipf 0.9, and after each 20,000 requests a scan of 10,000 keys that are asked for once."""
    trace, fresh = zipf(choose, 0.9, KEYS, requests * 2 // 3), itertools.count(KEYS)
    polluted: Trace = []
    for at in range(0, len(trace), 20_000):
        polluted += trace[at : at + 20_000] + list(itertools.islice(fresh, 10_000))
    return polluted


def shifts(choose: random.Random, requests: int) -> Trace:
    """Zipf 0.9, with other keys the popular ones after each tenth of the trace."""
    return [(key + at * 10 // requests * 7919) % KEYS for at, key in enumerate(zipf(choose, 0.9, KEYS, requests))]


def recent(choose: random.Random, requests: int) -> Trace:
    """Each key asked for a few times soon after it first is, then never: the kind that recency serves best."""
    trace: Trace = []
    for _ in range(requests):
        newest = max(trace[-1] if trace else 0, len(trace) // 4)
        trace.append(max(newest - int(choose.expovariate(1 / 2000)), 0) if choose.random() < 0.75 else len(trace) // 4)
    return trace


def ours(trace: Trace, weigh: Callable[[int], int], room: int, names: list[bytes]) -> int:
    cache, hits = LFUCache(room), 0
    get, put = cache.get, cache.put
    for key in trace:
        name = names[key]
        if get(name, 0.0) is not None:
            hits += 1
        else:
            put(name, True, weigh(key) - ENTRY_BYTES - 32, FOREVER, 0.0)
    return hits


def lru(trace: Trace, weigh: Callable[[int], int], room: int, names: list[bytes]) -> int:
    kept: OrderedDict[int, int] = OrderedDict()
    hits = total = 0
    for key in trace:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
        elif weigh(key) <= room:
            kept[key] = weigh(key)
            total += kept[key]
            while total > room:
                total -= kept.popitem(last=False)[1]
    return hits


def moka(trace: Trace, weigh: Callable[[int], int], room: int, names: list[bytes]) -> int:
    cache, hits = moka_py.Moka(room, weigher=lambda _key, value: weigh(value)), 0
    for key in trace:
        if cache.get(names[key]) is not None:
            hits += 1
        else:
            cache.set(names[key], key)
    return hits


def belady(trace: Trace, weigh: Callable[[int], int], room: int, names: list[bytes]) -> int:
    """Drop what is asked for last, which may be what has just come."""
    following, last = [len(trace) * 2] * len(trace), {}
    for at in range(len(trace) - 1, -1, -1):
        following[at] = last.get(trace[at], len(trace) * 2)
        last[trace[at]] = at
    kept: dict[int, int] = {}
    furthest: list[tuple[int, int]] = []
    hits = total = 0
    for at, key in enumerate(trace):
        if key in kept:
            hits += 1
        else:
            total += weigh(key)
        kept[key] = following[at]
        heapq.heappush(furthest, (-following[at], key))
        while total > room:
            until, victim = heapq.heappop(furthest)
            if kept.get(victim) == -until:
                del kept[victim]
                total -= weigh(victim)
    return hits


COLUMNS = {"ours": ours, "LRU": lru, "moka-py": moka, "optimum": belady}


def alike(_key: int) -> int:
    return UNIT


def varied(key: int) -> int:
    """From 500 bytes to 64 KB, most of them small; nothing to do with how popular the key is."""
    return 500 + int(64_000 * (key * 2654435761 % 2**32 / 2**32) ** 6)


def table(traces: dict[str, Trace], weigh: Callable[[int], int], names: list[bytes]) -> None:
    columns = {name: run for name, run in COLUMNS.items() if run is not moka or moka_py is not None}
    print("| hits, % | cache |" + "".join(f" {name} |" for name in columns))
    print("|---|---|" + "---|" * len(columns))
    total = sum(map(weigh, range(KEYS)))
    for title, trace in traces.items():
        for share in (1, 10):
            found = [run(trace, weigh, total * share // 100, names) / len(trace) for run in columns.values()]
            print(f"| {title} | {share} % |" + "".join(f" {100 * each:.1f} |" for each in found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hit_ratio", description=__doc__)
    parser.add_argument("--requests", type=int, default=500_000, help="of each trace (default 500,000)")
    requests = parser.parse_args().requests
    choose = random.Random(20)
    traces = {f"Zipf {skew}": zipf(choose, skew, KEYS, requests) for skew in (0.7, 0.8, 0.9, 1.0, 1.1)}
    traces["scans"] = scans(choose, requests)
    traces["shifting"] = shifts(choose, requests)
    traces["recent"] = recent(choose, requests)
    names = [hashlib.sha256(b"%d" % key).digest() for key in range(max(map(max, traces.values())) + 1)]
    print(
        f"{requests:,} requests for {KEYS:,} keys, {'compiled' if COMPILED else 'pure'} build. Entries of one size:\n"
    )
    table(traces, alike, names)
    print("\nEntries of 500 bytes to 64 KB:\n")
    table({title: traces[title] for title in ("Zipf 0.7", "Zipf 0.9", "Zipf 1.1", "scans", "shifting")}, varied, names)


if __name__ == "__main__":
    main()
