"""Lines to a descriptor or a stream, by a thread of its own: who logs never waits.

On an event loop, lines are written into one buffer, which the thread is handed every 50 ms: waking it for each would
cost the loop more than the line. A pipe that nobody reads holds the thread, a full disk fails its writes; both cost
lines, which are counted, and nothing else. A fork takes no thread along: the child calls `start` itself, and what its
parent had queued stays its parent's.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from edge._fast import Lines

__all__ = ["LineWriter"]

MAX_QUEUED = 4 << 20
"""Bytes that wait at most, in the buffer and for the thread."""
HAND_OVER_S = 0.05
PIPE_BUF = 4096
"""Several workers write to one pipe: what is at most this long is written in one piece (POSIX asks for 512; Linux has
4096). A longer line has a write of its own."""
PIECE = 1 << 20
"""The same for what is no pipe: a file takes any write in one piece."""
STUCK_S = 0.3
"""At the end, a thread that has written nothing for this long is given up: nobody takes what it writes."""
FLUSH_S = 2.0
"""At the end, what is queued is written for at most this long."""


class Out(Protocol):
    """What lines are written to."""

    def write(self, text: str, /) -> object:
        """Raises OSError, ValueError."""

    def flush(self) -> object: ...


class LineWriter:
    """``lines`` is the buffer of the thread that called `start`: who writes a line into it asks `full` before, and
    calls `ended` after. Until `start`, and after `stop`, lines are written where they are put. `tell` is called with
    the number of lines that were lost once lines are written again.
    """

    def __init__(self, out: Out | None, tell: Callable[[int], object]) -> None:
        """`out` None is the standard error, whatever stands behind descriptor 2."""
        self._out = out
        self._tell = tell
        self._told = 0
        self.lines = Lines()
        self._refused = 0
        self._lost = 0
        self._queue: deque[bytes] = deque()
        self._handed = 0
        self._taken = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._owner = 0
        self._process = os.getpid()
        self._piece = PIPE_BUF
        self._written = 0

    @property
    def dropped(self) -> int:
        """Lines that were lost: they found no room, or could not be written."""
        return int(self._refused + self._lost)

    @property
    def queued(self) -> int:
        """Bytes that nobody has taken yet."""
        return int(self._handed - self._taken + self.lines.size)

    def put(self, line: bytes) -> None:
        """Write a line, which has no end yet. May be called by any thread."""
        if self.full():
            return
        if self._thread is not None and threading.get_ident() != self._owner:
            self._hand_over(line + b"\n")
            return
        self.lines.add(line)
        self.ended()

    def full(self) -> bool:
        """Whether there is no room for another line, which is counted as dropped."""
        most = MAX_QUEUED
        if self._handed - self._taken + self.lines.size < most:
            return False
        self._refused += 1
        return True

    def ended(self) -> None:
        """A line has been written into the buffer, but for its end."""
        self.lines.end()
        if self._thread is None:
            self._write(self.lines.take())
        elif self.lines.count == 1:
            try:
                asyncio.get_running_loop().call_later(HAND_OVER_S, self._hand_over_lines)
            except RuntimeError:
                self._hand_over_lines()

    def _hand_over_lines(self) -> None:
        if self.lines.size:
            self._hand_over(self.lines.take())

    def _hand_over(self, data: bytes) -> None:
        self._handed += len(data)
        self._queue.append(data)
        self._wake.set()

    def start(self) -> None:
        """From here on, lines are written by a thread of this process."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._thread = None
            self._wake = threading.Event()
            self._queue.clear()
            self.lines = Lines()
            self._refused = self._lost = self._told = self._handed = self._taken = 0
        self._stopping = False
        self._owner = threading.get_ident()
        if self._thread is not None and self._thread.is_alive():
            return
        self._piece = PIPE_BUF if self._out is not None or is_pipe(2) else PIECE
        self._thread = threading.Thread(target=self._run, name="edge-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, as far as somebody takes it, then write directly again."""
        thread = self._thread
        if thread is None or self._process != os.getpid():
            return
        self._stopping = True
        self._hand_over_lines()
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
        self._write_queue()
        self._tell_of_drops()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            # Cleared before the queue is emptied: what comes in between is written now, and wakes us in vain.
            self._wake.clear()
            if self._write_queue() and not self._stopping:
                self._tell_of_drops()

    def _tell_of_drops(self) -> None:
        lost = self.dropped - self._told
        if lost:
            self._told = self.dropped
            self._tell(lost)

    def _write_queue(self) -> bool:
        """Whether the last of it could be written."""
        fine, queue = True, self._queue
        while queue:
            data = b"".join([queue.popleft() for _ in range(len(queue))])
            for piece in pieces(data, self._piece):
                fine = self._write(piece)
            self._taken += len(data)
        return fine

    def _write(self, data: bytes) -> bool:
        """Whether it could be written. A full disk or a closed pipe must not stop the edge."""
        try:
            if self._out is None:
                write_all(2, data)
            else:
                self._out.write(data.decode("utf-8", "replace"))
                self._out.flush()
        except (OSError, ValueError):
            self._lost += data.count(b"\n")
            return False
        finally:
            self._written += 1
        return True


def pieces(data: bytes, most: int) -> Iterator[bytes]:
    """Whole lines in pieces of at most `most` bytes; a longer line is one of its own."""
    begin, size = 0, len(data)
    while begin < size:
        end = size
        if size - begin > most:
            end = data.rfind(b"\n", begin, begin + most) + 1 or data.find(b"\n", begin + most) + 1
        yield data[begin:end]
        begin = end


def is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return True  # a closed one: nothing can be told


def write_all(descriptor: int, data: bytes) -> None:
    """Write `data`, waiting for as long as that takes. Raises OSError."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            # Somebody who shares it has made it non-blocking.
            select.select([], [descriptor], [], 1.0)
