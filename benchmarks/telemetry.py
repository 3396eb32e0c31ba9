"""What telling of the metrics costs: ``python -m benchmarks.telemetry``.

Four workers have counted requests of as many kinds as make 2,000 series, as Prometheus counts them (each bucket is
one), and then as many as make 2,000 label sets. Measured are the CPU time that an exposition of all takes, and how long
it holds up a loop that serves beside it: the longest time between two turns of a loop that is always due, in CPU time
of the process, so that what else the machine does is left out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from statistics import median

from edge._fast import COMPILED
from edge.hooks import RequestRecord, Usage
from edge.telemetry import Fanout
from edge.telemetry.metrics import Metrics, shared_slots

WORKERS, SERIES = 4, 2000
ROUNDS = 20
TARGET_S, TARGET_LOOP_S = 0.030, 0.005


def record(number: int) -> RequestRecord:
    name, stream = f"model-{number}", number % 2 == 0
    return RequestRecord(
        *("id", "/v1/chat/completions", "openai", f"provider-{number % 7}", name, name, 1),
        *("key", f"tenant-{number % 40}", 200, stream, "ok", "", "", 0.8, 0.79, 0.0004, 0.2, Usage(100, 200)),
    )


def samples(metrics: Metrics) -> int:
    return sum(not line.startswith(b"#") for line in metrics.render().splitlines())


def label_sets(metrics: Metrics) -> int:
    parts = (b"_bucket{", b"_sum{", b"_sum ")
    lines = metrics.render().splitlines()
    return sum(not line.startswith(b"#") and not any(part in line for part in parts) for line in lines)


def filled(size: Callable[[Metrics], int]) -> Metrics:
    """The metrics of one of the workers, all of which have counted the same kinds of requests."""
    slots = shared_slots(WORKERS)
    workers = [Metrics(slots, place + 1, vendors=lambda name: name) for place in range(WORKERS)]
    hooks = [Fanout(each) for each in workers]
    number = 0
    while size(workers[0]) < SERIES:
        for each in hooks:
            each.request_done(record(number))
        number += 1
    return workers[0]


def longest_wait(beside: Callable[[], object]) -> float:
    """The longest that a loop, which is always due, did not get on while a thread did something beside it."""

    async def serve() -> float:
        done = threading.Event()

        def work() -> None:
            beside()
            done.set()

        thread = threading.Thread(target=work)
        longest, before = 0.0, time.process_time()
        thread.start()
        while not done.is_set():
            await asyncio.sleep(0)
            now = time.process_time()
            longest, before = max(longest, now - before), now
        thread.join()
        return longest

    return asyncio.run(serve())


def measured(metrics: Metrics) -> None:
    took = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        metrics.render()
        took.append(time.thread_time() - begun)
    waits = sorted(longest_wait(metrics.render) for _ in range(ROUNDS))
    print(f"{samples(metrics)} series of {label_sets(metrics)} label sets, {len(metrics.render())} bytes")
    print(f"  /metrics     {median(took) * 1e3:5.1f} ms of CPU (target {TARGET_S * 1e3:.0f})")
    held = f"{median(waits) * 1e3:5.1f} ms at most, {waits[-1] * 1e3:.1f} once"
    print(f"  loop beside  {held} (target {TARGET_LOOP_S * 1e3:.0f})")


def main() -> None:
    print(f"{'compiled' if COMPILED else 'pure'}, {WORKERS} workers, medians of {ROUNDS}")
    for size in (samples, label_sets):
        measured(filled(size))


if __name__ == "__main__":
    main()
