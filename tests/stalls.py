"""How late this machine is, and how slow: what a test that measures time grants on top of its limit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

PAUSE_S = 0.002
PROCESSES = 3
"""A client, the edge and what is behind it have a part in an answer, and each may be late."""


ADDITIONS = 100_000
USUAL_S = 0.003
"""What so many additions take on 3.11 on a core of some 3 GHz, for which the bounds of CPU time are set."""


def slowness() -> float:
    """How many times as long computing takes here and now, where others may share the core; at least 1."""
    taken = []
    for _ in range(3):
        begun, total = time.thread_time(), 0
        for number in range(ADDITIONS):
            total += number
        taken.append(time.thread_time() - begun)
    return max(1.0, min(taken) / USUAL_S)


class Stalls:
    """``granted_s`` is what an answer may take longer, by what was measured since ``with`` began: how late who sleeps is
    woken, or what this process and those that it has started have waited for a core, if that is more. Who has work to do
    is made to wait for longer than who has slept, so the first alone would be too little beside others that compute.
    """

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._before: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    @property
    def granted_s(self) -> float:
        waited_ns = sum(max(0, wait - self._before.get(task, 0)) for task, wait in waits_ns())
        return max(PROCESSES * self._worst_s, waited_ns / 1e9)

    def _measure(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            due = max(due + PAUSE_S, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            self._worst_s = max(self._worst_s, time.monotonic() - due)

    def __enter__(self) -> Stalls:
        self._before = dict(waits_ns())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


def waits_ns() -> Iterator[tuple[str, int]]:
    """Each thread of this process and of its descendants, with the nanoseconds that it has waited for a core while it could
    have run (Linux: the second figure of ``schedstat``).
    """
    processes = [os.getpid()]
    while processes:
        for task in Path(f"/proc/{processes.pop()}/task").glob("*"):
            with suppress(OSError):  # it has ended meanwhile
                processes += map(int, (task / "children").read_text().split())
                yield str(task), int((task / "schedstat").read_text().split()[1])
