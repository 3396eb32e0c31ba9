"""Taking from a limit, and counting what is in flight."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from benchmarks.micro.case import Case

KEY = 0x9E3779B97F4A7C15


def limits(module: ModuleType) -> dict[str, Any]:
    made = module.Limits(bytearray(module.Limits.size(1 << 16, 8)), 1 << 16, 8)
    now = 10**15
    made.take(KEY + 1, 1000, 1, 1, now)
    names = {"take": made.take, "settle": made.settle, "remaining": made.remaining}
    return names | {"acquire": made.acquire, "release": made.release, "key": KEY, "empty": KEY + 1, "now": now}


CASES = [
    # A burst that the loop does not reach the end of; 1 ns a unit, which a cost of 1 stays far below.
    Case("limits", "take, admitted", limits, "take(key, 1, 1 << 59, 1, now)", limit=150),
    Case("limits", "take, denied", limits, "take(empty, 1000, 1, 1, now)", limit=150),
    Case("limits", "take and give back", limits, "take(key, 1000, 100, 1, now); settle(key, 1000, -1, now)"),
    Case("limits", "what remains", limits, "remaining(empty, 1000, 1, now)"),
    Case("limits", "acquire and release, 8 workers", limits, "acquire(1, key, 10); release(1, key)"),
]
