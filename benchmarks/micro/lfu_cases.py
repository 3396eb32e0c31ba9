"""Asking a cache of 10,000 entries, and putting into one that is full."""

from __future__ import annotations

import hashlib
import itertools
from types import ModuleType
from typing import Any

from benchmarks.micro.case import Case

ENTRIES = 10_000
KEYS = [hashlib.sha256(b"%d" % number).digest() for number in range(4 * ENTRIES)]


def cache(module: ModuleType) -> dict[str, Any]:
    each = 1000 + module.ENTRY_BYTES + 32
    made = module.LFUCache(ENTRIES * each)
    for key in KEYS[: 2 * ENTRIES]:
        made.put(key, key, 1000, 1e9, 0.0)
    kept = [key for key in KEYS if made.get(key, 1.0)]
    names = {"get": made.get, "put": made.put, "key": kept[-1], "kept": itertools.cycle(kept), "next": next}
    return names | {"absent": itertools.cycle(KEYS[2 * ENTRIES :]), "there": kept[len(kept) // 2]}


CASES = [
    Case("lfu", "get, the same entry", cache, "get(key, 1.0)", limit=300),
    Case("lfu", "get, one entry after the other", cache, "get(next(kept), 1.0)", limit=300),
    Case("lfu", "get, absent", cache, "get(next(absent), 1.0)", limit=300),
    Case("lfu", "put, in place of another", cache, "put(next(absent), None, 1000, 1e9, 1.0)"),
    Case("lfu", "put, what is there", cache, "put(there, None, 1000, 1e9, 1.0)"),
]
