"""The process above the workers, also above a single one.

Each slot has listening sockets of its own (the same ones for all where the system does not balance) and keeps them open
so that a worker's death refuses nobody: what arrives meanwhile waits for the replacement. The supervisor starts no loop
and no threads but that of the log and one that looks at files. It waits for nobody: what takes time is done by a child,
and a message that a worker does not take is sent again later.

Signals: SIGTERM and SIGINT first make the edge unready, close its listeners after ``drain_delay_s``, drain, and end
with code 0; a second one ends at once. SIGHUP has the configuration read again, and so, in part, has a change of a file
that it names. SIGUSR2 executes the program anew, which begins with new workers on the same sockets before the old ones
retire. A worker that dies is replaced; one whose event loop stalls shows its stacks, is killed and replaced.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from mmap import mmap
from typing import Any

from edge.server.children import (
    COMPLAINT,
    ELSEWHERE,
    HANDLED,
    Helper,
    Slot,
    Worker,
    counts,
    fork,
    how,
    reason,
    send,
    tell,
    text,
)
from edge.server.handover import Handover, LeftSlot, LeftWorker, execute, rehearse
from edge.server.memory import open_file
from edge.server.oversight import Configuration, Watcher
from edge.server.worker import BEAT, CONFIGURATION, READY, UNREADY, Orders, beat

__all__ = ["Supervisor", "places"]

STALL_S = 3.0
"""A worker whose loop has not turned for this long is stalled. Found within a tick, so in less than 5 s."""
TICK_S = 0.25
START_S = 15.0
STACKS_S = 0.3
HELP_S = 60.0
"""Reading a configuration and rehearsing an upgrade may take so long."""
PATIENT_S = 1.0
"""And so long where a file of keys has changed meanwhile: one that was revoked is to be refused within 5 s."""
BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
HEALTHY_S = 5.0

Serve = Callable[[Orders], None]
Log = Any


def places(slots: int) -> int:
    """How many worker processes there are at a time at most: two per slot, while one replaces the other."""
    return slots * 2


class Supervisor:
    """``serve(orders)`` runs in each forked worker; ``worker_gone(place)`` tells of each process that has ended, before
    another takes its place; `hand_over` makes of the slots what `edge.server.handover` leaves, None where the program
    cannot be executed anew. Slots may come with workers, of the program before this one: they retire when new ones are
    ready. ``each_turn()`` is called a few times a second.
    """

    def __init__(
        self,
        slots: list[Slot],
        serve: Serve,
        log: Log,
        *,
        beats: mmap,
        drain_s: float,
        drain_delay_s: float = 0.0,
        configuration: Configuration,
        worker_gone: Callable[[int], None],
        watcher: Watcher,
        hand_over: Callable[[list[LeftSlot]], Handover] | None = None,
        each_turn: Callable[[], None] = lambda: None,
        before_execution: Callable[[], None] = lambda: None,
        after_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._slots = slots
        self._serve = serve
        self._log = log
        self._beats = beats
        self._drain_s = drain_s
        self._drain_delay_s = drain_delay_s
        self._configuration = configuration
        self._latest = -1
        self._worker_gone = worker_gone
        self._watcher = watcher
        self._hand_over = hand_over
        self._each_turn = each_turn
        self._before_execution = before_execution
        self._after_failure = after_failure
        self._wake_read, self._wake_write = os.pipe()
        self._signals: deque[int] = deque()
        self._helper: Helper | None = None
        self._read_wanted = self._renew_wanted = False
        self._upgrade_wanted = False
        self._ending_since: float | None = None
        self._draining_since: float | None = None
        self._ever_ready = False
        self._despaired = False

    def run(self) -> int:
        """Serve until a signal ends it; returns the exit code."""
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        # A predecessor has held back what came while it handed over.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        for slot in self._slots:
            if not slot.leaving:
                self._start(slot)
        try:
            while True:
                self._wait()
                self._handle_signals()
                self._reap()
                self._each_turn()
                if self._draining_since is not None:
                    if not any(self._workers()):
                        return 0
                    if time.monotonic() - self._draining_since > self._drain_s + 2:
                        self._kill_all()
                    continue
                if self._ending_since is not None and time.monotonic() - self._ending_since >= self._drain_delay_s:
                    self._drain()
                    continue
                if not self._ever_ready and self._hopeless():
                    self._kill_all()
                    return 1
                self._watch()
                self._retire()
                self._help()
                self._watcher.workers(counts(self._slots))
        finally:
            signal.set_wakeup_fd(-1)
            if self._helper is not None:
                tell(self._helper.pid, signal.SIGKILL)

    # Waiting and signals.

    def _wait(self) -> None:
        """Sleep until a signal, a message of a worker, or the next tick."""
        controls = {worker.control.fileno(): worker for worker in self._workers()}
        poll = select.poll()
        for number in (self._wake_read, *controls):
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(TICK_S * 1000):
            try:
                if number == self._wake_read:
                    os.read(number, 4096)
                    continue
                worker = controls[number]
                data = worker.control.recv(64)
            except OSError:
                continue
            if data.startswith(READY):
                worker.ready = True
                current = [slot.worker for slot in self._slots if not slot.leaving]
                if not self._ever_ready and all(worker is not None and worker.ready for worker in current):
                    self._log.info("ready", workers=len(current))
                    self._ever_ready = True

    def _handle_signals(self) -> None:
        while self._signals:
            number = self._signals.popleft()
            if number in (signal.SIGTERM, signal.SIGINT):
                self._end()
            elif number == signal.SIGHUP:
                self._read_wanted = True
            elif number == signal.SIGUSR2:
                if self._hand_over is None:
                    self._log.warning("this cannot be executed anew: only 'edge serve' can")
                self._upgrade_wanted = self._hand_over is not None

    def _end(self) -> None:
        if self._ending_since is not None:
            self._log.warning("ending at once")
            self._draining_since = self._draining_since or time.monotonic()
            self._kill_all()
            return
        self._ending_since = time.monotonic()
        self._read_wanted = self._upgrade_wanted = False
        if not self._drain_delay_s:
            self._drain()
            return
        self._log.info("not ready any more, draining later", drain_delay_s=self._drain_delay_s)
        for worker in self._workers():
            send(worker, UNREADY)

    def _drain(self) -> None:
        self._draining_since = time.monotonic()
        self._log.info("draining", drain_s=self._drain_s)
        for slot in self._slots:
            slot.close()
        for worker in self._workers():
            tell(worker.pid, signal.SIGTERM)

    # Helpers: reading a configuration, rehearsing an upgrade.

    def _help(self) -> None:
        """Let a child begin what is wanted, one thing at a time; look after the one that is at work."""
        for slot in self._slots:
            if slot.worker is not None and slot.worker.behind:
                self._give(slot.worker)
        self._renew_wanted = self._configuration.changed() or self._renew_wanted
        helper = self._helper
        if helper is not None:
            lasts = time.monotonic() - helper.started
            helper.gives_way = self._renew_wanted and lasts > PATIENT_S and helper.wanted != "_renew_wanted"
            if helper.gives_way or lasts > HELP_S:
                tell(helper.pid, signal.SIGKILL)
        elif self._renew_wanted:
            self._let("_renew_wanted", partial(self._read, self._configuration.renew), self._have_read)
        elif self._read_wanted or self._configuration.rewritten():
            self._let("_read_wanted", partial(self._read, self._configuration.read), self._have_read)
        elif self._upgrade_wanted and (self._despaired or self._settled):
            self._log.info("executing the program anew, after a rehearsal")
            self._let("_upgrade_wanted", rehearse, self._have_rehearsed)

    @property
    def _settled(self) -> bool:
        """Whether an upgrade before this one is over."""
        return self._ever_ready and not any(slot.retiring for slot in self._slots)

    def _let(self, wanted: str, work: Callable[[int], int], done: Callable[[int, int], None]) -> None:
        setattr(self, wanted, False)
        file = open_file("edge-help")

        def help_out() -> int:
            self._leave()
            return work(file)

        pid = fork(help_out)
        self._helper = Helper(pid, file, time.monotonic(), wanted, done)

    def _read(self, read: Callable[[int], bool], file: int) -> int:
        gc.disable()  # what is made here is needed until the end
        return 0 if read(file) else 1

    def _have_read(self, file: int, status: int) -> None:
        if status != 0:
            errors = text(file, 0).splitlines() if os.WIFEXITED(status) else [f"reading it ended by {how(status)}"]
            self._log.error("reload refused, the old configuration stays", errors=errors)
            os.close(file)
            self._watcher.reloaded(False)
            return
        try:
            self._configuration.adopt(file)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old configuration still serves
            self._watcher.reloaded(False)
            self._log.error("reload refused, the old configuration stays", errors=[type(error).__name__])
            os.close(file)
            return
        if self._latest >= 0:
            os.close(self._latest)
        self._latest = file
        self._watcher.reloaded(True)
        for slot in self._slots:
            if slot.worker is not None:  # those of the program before this one may not understand it
                self._give(slot.worker)

    def _give(self, worker: Worker) -> None:
        """The latest configuration. Who hangs does not take it now; who is replaced meanwhile begins with it."""
        worker.behind = not send(worker, CONFIGURATION, self._latest)

    def _have_rehearsed(self, file: int, status: int) -> None:
        said = text(file, os.fstat(file).st_size - COMPLAINT).splitlines()
        os.close(file)
        if status != 0 or self._hand_over is None:
            self._log.error("upgrade refused, the old program goes on", how=how(status), said=said)
            return
        if self._ending_since is None:
            self._execute(self._hand_over)

    def _execute(self, hand_over: Callable[[list[LeftSlot]], Handover]) -> None:
        """Become the new program. What does not work out leaves everything as it is."""
        left = [
            LeftSlot(
                [listener.fileno() for listener in slot.listeners],
                [
                    LeftWorker(worker.pid, worker.control.fileno(), worker.place, worker.started, worker.retiring_since)
                    for worker in slot.workers()
                ],
            )
            for slot in self._slots
        ]
        # Until the new program has handlers, a signal would end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        self._before_execution()

        def failed(error: OSError) -> None:
            self._after_failure()
            self._log.error("upgrade refused, the old program goes on", said=[error.strerror])

        execute(hand_over(left), os.environ, failed)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    # Workers.

    def _workers(self) -> list[Worker]:
        return [worker for slot in self._slots for worker in slot.workers()]

    def _start(self, slot: Slot) -> None:
        now = time.monotonic()
        # Old and new have places of their own while one takes over from the other.
        taken = {worker.place for worker in self._workers()}
        place = next((place for place in range(len(self._beats) // BEAT.size) if place not in taken), None)
        if place is None:  # those of two programs before this one are still there
            slot.start_at = now + TICK_S
            return
        ours, theirs = socket.socketpair()
        beat(self._beats, place, now)

        def become_worker() -> int:
            self._leave(slot)
            ours.close()
            unready = self._ending_since is not None
            self._serve(Orders(slot.listeners, theirs, self._beats, place, self._drain_s, unready))
            return 0

        pid = fork(become_worker)
        theirs.close()
        ours.setblocking(False)
        slot.worker = Worker(pid, ours, now, place)

    def _leave(self, kept: Slot | None = None) -> None:
        """In a child: give up what is the supervisor's, but for what belongs to the slot that is `kept`."""
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        os.close(self._wake_read)
        os.close(self._wake_write)
        for slot in self._slots:
            for worker in slot.workers():
                worker.control.close()
            if slot is not kept:
                slot.close()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            helper = self._helper
            if helper is not None and helper.pid == pid:
                self._helper = None
                if helper.gives_way:
                    setattr(self, helper.wanted, True)
                    os.close(helper.file)
                else:
                    helper.done(helper.file, status)
            for slot in self._slots:
                self._bury(slot, pid, status)

    def _bury(self, slot: Slot, pid: int, status: int) -> None:
        now = time.monotonic()
        for worker in [worker for worker in slot.workers() if worker.pid == pid]:
            worker.control.close()
            if worker.place != ELSEWHERE:
                self._worker_gone(worker.place)
            if worker in slot.retiring:
                slot.retiring.remove(worker)
                continue
            slot.worker = None
            slot.failures = 0 if now - worker.started > HEALTHY_S else slot.failures + 1
            slot.start_at = now + BACKOFF_S[min(max(slot.failures - 1, 0), len(BACKOFF_S) - 1)]
            if self._draining_since is None:
                self._watcher.replaced(reason(worker, status))
                self._log.error("worker ended", worker=pid, how=how(status))

    def _hopeless(self) -> bool:
        """Whether it is no use to go on: no worker could start, and none of a program before this one is left."""
        if not any(slot.failures >= 3 for slot in self._slots):
            return False
        old = any(slot.retiring for slot in self._slots)
        if not self._despaired:
            self._despaired = True
            self._log.error("no worker could start" + (", those of the program before go on" if old else ""))
        return not old

    def _watch(self) -> None:
        """Start what is missing; kill what is stalled."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.worker is None and not slot.leaving and now >= slot.start_at:
                self._start(slot)
            for worker in slot.workers():
                self._check(worker, now)

    def _check(self, worker: Worker, now: float) -> None:
        if worker.place == ELSEWHERE:
            return
        (told,) = BEAT.unpack_from(self._beats, worker.place * BEAT.size)
        limit = STALL_S if worker.ready else START_S
        if now - told <= limit:
            worker.stacks_at = None
        elif worker.stacks_at is None:
            worker.stacks_at = now
            self._log.error("worker stalled, its stacks follow", worker=worker.pid, silent_s=round(now - told, 1))
            tell(worker.pid, signal.SIGUSR1)
        elif now - worker.stacks_at >= STACKS_S:
            tell(worker.pid, signal.SIGKILL)

    def _retire(self) -> None:
        """Let the workers of the program before this one retire once new ones are ready."""
        now = time.monotonic()
        all_ready = self._ever_ready
        for slot in self._slots:
            for old in slot.retiring:
                if old.retiring_since is None:
                    ready = all_ready if slot.leaving else slot.worker is not None and slot.worker.ready
                    if ready:
                        old.retiring_since = now
                        if slot.leaving:
                            slot.close()
                        tell(old.pid, signal.SIGTERM)
                elif now - old.retiring_since > self._drain_s + 2:
                    tell(old.pid, signal.SIGKILL)
        if all_ready:
            self._slots = [slot for slot in self._slots if not slot.leaving or slot.retiring]

    def _kill_all(self) -> None:
        for worker in self._workers():
            tell(worker.pid, signal.SIGKILL)
