"""The process above the workers, also above a single one.

It binds one SO_REUSEPORT socket per slot (one shared socket where the system has no such balancing) and keeps each open
so that a worker's death refuses nobody: what arrives meanwhile waits for the replacement. It starts no loop and no
thread but that of the log, imports everything once, freezes the collector and forks.

Signals: SIGTERM and SIGINT drain and end with code 0, a second one ends at once. SIGHUP reads the configuration again
and gives it to every worker. SIGUSR2 replaces the workers one by one. A worker that dies is replaced; one whose
event loop stalls shows its stacks, is killed and replaced.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, NoReturn

from edge.server.worker import BACKLOG, BEAT, LENGTH, READY, Orders

__all__ = ["Supervisor", "listen", "places"]

STALL_S = 3.0
"""A worker whose loop has not turned for this long is stalled. Found within a tick, so in less than 5 s."""
TICK_S = 0.25
START_S = 15.0
STACKS_S = 0.3
BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
HEALTHY_S = 5.0
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)

Serve = Callable[[Orders], None]
Log = Any


def listen(host: str, port: int, slots: int) -> list[socket.socket]:
    """Bound sockets, one per slot. Raises OSError; EADDRINUSE also where another edge serves the port.

    SO_REUSEPORT would let a second edge share the port silently, so the port is probed without it first.
    """
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    balanced = sys.platform == "linux"
    with socket.socket(family, kind, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        address = probe.getsockname()
        if not balanced:
            probe.listen(BACKLOG)
            shared = probe.dup()
            return [shared] + [shared.dup() for _ in range(slots - 1)]
    sockets = []
    for _ in range(slots):
        sock = socket.socket(family, kind, proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sockets.append(sock)
    return sockets


@dataclass(slots=True)
class _Worker:
    """One child process. ``control`` is our end of its socket pair, ``place`` its number among those that run."""

    pid: int
    control: socket.socket
    started: float
    place: int
    ready: bool = False
    retiring_since: float | None = None
    stacks_at: float | None = None


@dataclass(slots=True)
class _Slot:
    """A listening socket and who serves it: ``worker``, and while it is being replaced ``retiring``."""

    index: int
    listener: socket.socket
    worker: _Worker | None = None
    retiring: list[_Worker] = field(default_factory=list)
    failures: int = 0
    start_at: float = 0.0


def places(slots: int) -> int:
    """How many worker processes there are at a time at most: two per slot, while one replaces the other."""
    return slots * 2


class Supervisor:
    """``serve(orders)`` runs in each forked worker; ``reread()`` returns the text of a valid configuration for the
    workers to load, or None to keep the old one (having said why); ``worker_gone(place)`` tells of each process that
    has ended, before another takes its place.
    """

    def __init__(
        self,
        listeners: list[socket.socket],
        serve: Serve,
        log: Log,
        *,
        drain_s: float,
        reread: Callable[[], str | None],
        worker_gone: Callable[[int], None],
    ) -> None:
        self._slots = [_Slot(index, listener) for index, listener in enumerate(listeners)]
        self._serve = serve
        self._log = log
        self._drain_s = drain_s
        self._reread = reread
        self._worker_gone = worker_gone
        self._beats = mmap(-1, BEAT.size * places(len(listeners)))
        self._wake_read, self._wake_write = os.pipe()
        self._signals: deque[int] = deque()
        self._to_replace: deque[_Slot] = deque()
        self._stopping_since: float | None = None
        self._ever_ready = False

    def run(self) -> int:
        """Serve until a signal ends it; returns the exit code."""
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        gc.collect()
        gc.freeze()
        for slot in self._slots:
            self._start(slot)
        try:
            while True:
                self._wait()
                self._handle_signals()
                self._reap()
                if self._stopping_since is not None:
                    if not any(self._workers()):
                        return 0
                    if time.monotonic() - self._stopping_since > self._drain_s + 2:
                        self._kill_all()
                    continue
                if not self._ever_ready and self._hopeless():
                    self._log.error("no worker could start")
                    self._kill_all()
                    return 1
                self._watch()
                self._replace()
        finally:
            signal.set_wakeup_fd(-1)

    # Waiting and signals.

    def _wait(self) -> None:
        """Sleep until a signal, a message of a worker, or the next tick."""
        controls = {worker.control.fileno(): worker for worker in self._workers()}
        try:
            readable, _, _ = select.select([self._wake_read, *controls], [], [], TICK_S)
        except InterruptedError:
            return
        for number in readable:
            if number == self._wake_read:
                os.read(number, 4096)
                continue
            worker = controls[number]
            try:
                data = worker.control.recv(64)
            except OSError:
                continue
            if data.startswith(READY):
                worker.ready = True
                if not self._ever_ready and all(worker.ready for worker in self._workers()):
                    self._log.info("ready", workers=len(self._slots))
                    self._ever_ready = True

    def _handle_signals(self) -> None:
        while self._signals:
            number = self._signals.popleft()
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop()
            elif number == signal.SIGHUP and self._stopping_since is None:
                self._reload()
            elif number == signal.SIGUSR2 and self._stopping_since is None:
                self._log.info("replacing the workers one by one")
                self._to_replace = deque(self._slots)

    def _stop(self) -> None:
        if self._stopping_since is not None:
            self._log.warning("ending at once")
            self._kill_all()
            return
        self._stopping_since = time.monotonic()
        self._log.info("draining", drain_s=self._drain_s)
        for slot in self._slots:
            slot.listener.close()
        for worker in self._workers():
            _signal(worker.pid, signal.SIGTERM)

    def _reload(self) -> None:
        text = self._reread()
        if text is None:
            return
        data = text.encode()
        for worker in self._workers():
            try:
                worker.control.sendall(LENGTH.pack(len(data)) + data)
            except OSError:
                continue  # it is ending; its replacement starts with the new configuration

    # Workers.

    def _workers(self) -> list[_Worker]:
        return [worker for slot in self._slots for worker in (slot.worker, *slot.retiring) if worker is not None]

    def _start(self, slot: _Slot) -> None:
        ours, theirs = socket.socketpair()
        now = time.monotonic()
        # Old and new have places of their own while one takes over from the other.
        place = next(
            place
            for place in (slot.index * 2, slot.index * 2 + 1)
            if all(worker.place != place for worker in slot.retiring)
        )
        BEAT.pack_into(self._beats, place * BEAT.size, now)
        # A signal that the child takes before it has handlers of its own would end in a list that nobody reads.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        pid = os.fork()
        if pid == 0:
            self._become_worker(slot, theirs, ours, place)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        theirs.close()
        ours.setblocking(True)
        slot.worker = _Worker(pid, ours, now, place)

    def _become_worker(self, slot: _Slot, theirs: socket.socket, ours: socket.socket, place: int) -> NoReturn:
        """In the child: keep what is the worker's, serve, and end the process."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in HANDLED:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            os.close(self._wake_read)
            os.close(self._wake_write)
            ours.close()
            for other in self._slots:
                for worker in (other.worker, *other.retiring):
                    if worker is not None:
                        worker.control.close()
                if other is not slot:
                    other.listener.close()
            self._serve(Orders(slot.listener, theirs, self._beats, place, self._drain_s))
            code = 0
        finally:
            # Nothing returns into the supervisor's code, and nothing is written on the way out.
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for slot in self._slots:
                self._bury(slot, pid, status)

    def _bury(self, slot: _Slot, pid: int, status: int) -> None:
        now = time.monotonic()
        for worker in [worker for worker in (slot.worker, *slot.retiring) if worker is not None and worker.pid == pid]:
            worker.control.close()
            self._worker_gone(worker.place)
            if worker in slot.retiring:
                slot.retiring.remove(worker)
                continue
            slot.worker = None
            slot.failures = 0 if now - worker.started > HEALTHY_S else slot.failures + 1
            slot.start_at = now + BACKOFF_S[min(max(slot.failures - 1, 0), len(BACKOFF_S) - 1)]
            if self._stopping_since is None:
                self._log.error("worker ended", worker=pid, how=_how(status))

    def _hopeless(self) -> bool:
        return any(slot.failures >= 3 for slot in self._slots)

    def _watch(self) -> None:
        """Start what is missing; kill what is stalled."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.worker is None and now >= slot.start_at:
                self._start(slot)
            for worker in (slot.worker, *slot.retiring):
                if worker is not None:
                    self._check(worker, now)

    def _check(self, worker: _Worker, now: float) -> None:
        (beat,) = BEAT.unpack_from(self._beats, worker.place * BEAT.size)
        limit = STALL_S if worker.ready else START_S
        if now - beat <= limit:
            worker.stacks_at = None
        elif worker.stacks_at is None:
            worker.stacks_at = now
            self._log.error("worker stalled, its stacks follow", worker=worker.pid, silent_s=round(now - beat, 1))
            _signal(worker.pid, signal.SIGUSR1)
        elif now - worker.stacks_at >= STACKS_S:
            _signal(worker.pid, signal.SIGKILL)

    def _replace(self) -> None:
        """One step of replacing the workers one by one: the new one is ready before the old one retires."""
        now = time.monotonic()
        for slot in self._slots:
            for old in slot.retiring:
                if old.retiring_since is None:
                    if slot.worker is not None and slot.worker.ready:
                        old.retiring_since = now
                        _signal(old.pid, signal.SIGTERM)
                elif now - old.retiring_since > self._drain_s + 2:
                    _signal(old.pid, signal.SIGKILL)
        if self._to_replace and not any(slot.retiring for slot in self._slots):
            slot = self._to_replace.popleft()
            if slot.worker is not None:
                slot.retiring.append(slot.worker)
                self._start(slot)

    def _kill_all(self) -> None:
        for worker in self._workers():
            _signal(worker.pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended, and will be reaped


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit code {os.waitstatus_to_exitcode(status)}"
