"""How late this machine wakes who sleeps: what a test that measures time grants on top of its limit."""

from __future__ import annotations

import threading
import time
from types import TracebackType

PAUSE_S = 0.002
PROCESSES = 3
"""A client, the edge and what is behind it have a part in an answer, and each may be late."""


class Stalls:
    """``granted_s`` is what an answer may take longer, by what was measured since ``with`` began."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    @property
    def granted_s(self) -> float:
        return PROCESSES * self._worst_s

    def _measure(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            due = max(due + PAUSE_S, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            self._worst_s = max(self._worst_s, time.monotonic() - due)

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
