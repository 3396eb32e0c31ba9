"""Adding to metrics in shared memory."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from benchmarks.micro.case import Case

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def slots(module: ModuleType) -> dict[str, Any]:
    memory = module.Slots(bytearray(module.Slots.size(1)), 1)
    writer = module.SlotWriter(memory, 1)
    writer.define(0, module.COUNTER)
    writer.define(1, module.HISTOGRAM, BOUNDS)
    return {"add": writer.counter(0, b"a").add, "observe": writer.histogram(1, b"a").observe}


CASES = [
    Case("slots", "counter add", slots, "add(1.0)", limit=70),
    Case("slots", "histogram observe", slots, "observe(0.3)", limit=120),
]
