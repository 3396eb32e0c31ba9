"""The supervisor's children: what it knows of them, and how they are made and spoken to."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

__all__ = [
    "ELSEWHERE",
    "HANDLED",
    "Helper",
    "Slot",
    "Worker",
    "counts",
    "fork",
    "how",
    "reason",
    "send",
    "tell",
    "text",
]

ELSEWHERE = -1
"""The place of a worker of the program before this one, where its memory could not be taken over."""
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)
"""The signals that a supervisor has handlers for."""
COMPLAINT = 4000
"""Bytes of what a helper says that are logged."""


@dataclass(slots=True)
class Worker:
    """One child process. ``control`` is our end of its socket pair, ``place`` its number among those that run.
    ``behind``: it has not taken the latest configuration.
    """

    pid: int
    control: socket.socket
    started: float
    place: int
    ready: bool = False
    behind: bool = False
    retiring_since: float | None = None
    stacks_at: float | None = None


@dataclass(slots=True)
class Helper:
    """A child that does what takes time, and is ``wanted`` under that name; what it found is in ``file`` when it has
    ended. ``gives_way``: it was ended for what must not wait, and is wanted again.
    """

    pid: int
    file: int
    started: float
    wanted: str
    done: Callable[[int, int], None]
    gives_way: bool = False


@dataclass(slots=True)
class Slot:
    """Listening sockets and who serves them: ``worker``, and while it is being replaced ``retiring``. A slot that is
    ``leaving`` gets no new worker: another address is listened on now, or fewer workers do.
    """

    index: int
    listeners: list[socket.socket]
    worker: Worker | None = None
    retiring: list[Worker] = field(default_factory=list)
    leaving: bool = False
    failures: int = 0
    start_at: float = 0.0

    def workers(self) -> list[Worker]:
        return [*self.retiring] if self.worker is None else [self.worker, *self.retiring]

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()


def counts(slots: list[Slot]) -> dict[str, int]:
    """How many workers are doing what: one that is ``missing`` has ended, and its successor waits for its turn."""
    found = {"missing": 0, "starting": 0, "ready": 0, "retiring": 0}
    for slot in slots:
        found["retiring"] += len(slot.retiring)
        if slot.worker is not None:
            found["ready" if slot.worker.ready else "starting"] += 1
        elif not slot.leaving:
            found["missing"] += 1
    return found


def fork(work: Callable[[], int]) -> int:
    """The number of a child that does `work` and ends with the code it returns, 1 if it raises."""
    # A signal that the child takes before it has handlers of its own would end in a list that nobody reads.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        with warnings.catch_warnings():
            # The thread of the log holds nothing that a child waits for.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            be(work)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    return pid


def be(work: Callable[[], int]) -> NoReturn:
    """Nothing returns into the supervisor's code, and nothing is written on the way out."""
    code = 1
    try:
        code = work()
    finally:
        os._exit(code)


def send(worker: Worker, order: bytes, file: int | None = None) -> bool:
    """Whether a worker's socket could take an order. One that has ended will be reaped."""
    try:
        if file is None:
            worker.control.send(order)
        else:
            socket.send_fds(worker.control, [order], [file])
    except BlockingIOError:
        return False
    except OSError as error:
        return isinstance(error, BrokenPipeError | ConnectionResetError)
    return True


def tell(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended, and will be reaped
        os.kill(pid, number)


def text(file: int, begin: int) -> str:
    """A part of what a helper has written."""
    return os.pread(file, COMPLAINT, max(begin, 0)).decode("utf-8", "replace")


def reason(worker: Worker, status: int) -> str:
    """Why a worker is gone, in a word: for a metric."""
    if worker.stacks_at is not None:
        return "stalled"
    return "signal" if os.WIFSIGNALED(status) else "exit"


def how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit code {os.waitstatus_to_exitcode(status)}"
