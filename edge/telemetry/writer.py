"""Lines to a descriptor or a stream, by a thread of its own: who logs never waits.

A pipe that nobody reads holds the thread, a full disk fails its writes; both cost lines, which are counted, and nothing
else. A fork takes no thread along: the child calls `start` itself, and what its parent had queued stays its parent's.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TextIO

__all__ = ["LineWriter"]

QUEUE = 10_000
BATCH_S = 0.01
"""The thread lets so much time pass between the first line and writing: waking it for each line costs the event loop
more than the line."""
PIPE_BUF = 4096
"""Several workers write to one pipe: what is at most this long is written in one piece (POSIX asks for 512; Linux has
4096). A longer line has a write of its own."""
STUCK_S = 0.3
"""At the end, a thread that has written nothing for this long is given up: nobody takes what it writes."""
FLUSH_S = 2.0
"""At the end, what is queued is written for at most this long."""


class LineWriter:
    """Until `start`, and after `stop`, lines are written where they are put. ``dropped`` counts those that were lost;
    `tell` is called with their number once lines are written again.
    """

    def __init__(self, out: TextIO | None, tell: Callable[[int], object]) -> None:
        """`out` None is the standard error, whatever stands behind descriptor 2."""
        self._out = out
        self._tell = tell
        self._told = 0
        self.dropped = 0
        self._queue: deque[bytes] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._written = 0

    def put(self, line: bytes) -> None:
        if self._thread is None:
            self._write(line)
        elif len(self._queue) >= QUEUE:
            self.dropped += 1
        else:
            self._queue.append(line)
            if not self._wake.is_set():
                self._wake.set()

    def start(self) -> None:
        """From here on, lines are written by a thread of this process."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._thread = None
            self._wake = threading.Event()
            self._queue.clear()
            self.dropped = self._told = 0
        self._stopping = False
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._run, name="edge-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, as far as somebody takes it, then write directly again."""
        thread = self._thread
        if thread is None or self._process != os.getpid():
            return
        self._stopping = True
        self._wake.set()
        end = time.monotonic() + FLUSH_S
        while thread.is_alive() and time.monotonic() < end:
            before = self._written
            thread.join(STUCK_S)
            if before == self._written:
                break
        if thread.is_alive():
            return  # a daemon, which ends with the process; what comes now is queued behind what holds it
        self._thread = None
        for piece in self._pieces():
            self._write(piece)
        self._tell_of_drops()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            if not self._stopping:
                time.sleep(BATCH_S)
            # Cleared before the queue is emptied: a line that comes in between is written now, and wakes us in vain.
            self._wake.clear()
            fine = True
            for piece in self._pieces():
                fine = self._write(piece)
            if fine and not self._stopping:
                self._tell_of_drops()

    def _tell_of_drops(self) -> None:
        lost = self.dropped - self._told
        if lost:
            self._told = self.dropped
            self._tell(lost)

    def _pieces(self) -> Iterator[bytes]:
        """What is queued, as many lines at a time as a pipe takes in one piece."""
        lines: list[bytes] = []
        size = 0
        queue = self._queue
        while queue:
            line = queue.popleft()
            if lines and size + len(line) >= PIPE_BUF:
                yield b"\n".join(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line) + 1
        if lines:
            yield b"\n".join(lines)

    def _write(self, data: bytes) -> bool:
        """Whether it could be written. A full disk or a closed pipe must not stop the edge."""
        try:
            if self._out is None:
                write_all(2, data + b"\n")
            else:
                self._out.write(data.decode("utf-8", "replace") + "\n")
                self._out.flush()
        except (OSError, ValueError):
            self.dropped += data.count(b"\n") + 1
            return False
        finally:
            self._written += 1
        return True


def write_all(descriptor: int, data: bytes) -> None:
    """Write `data`, waiting for as long as that takes. Raises OSError."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            # Somebody who shares it has made it non-blocking.
            select.select([], [descriptor], [], 1.0)
