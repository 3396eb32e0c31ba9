"""From a configuration to a running edge: its sockets, its shared memory, its workers.

The supervisor's process imports, listens and forks; each worker builds its application after the fork, since
connections, threads and loops do not survive one.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib import import_module
from mmap import PAGESIZE
from typing import Any

from edge import __version__
from edge._fast import COMPILED, Slots
from edge.cache.memory import Generation
from edge.config import Config, Server, is_loopback
from edge.config.file import ConfigError, Reading
from edge.guard.key_table import KeyTable
from edge.guard.limits import limits_size, shared_limits, shared_spend, spend_size
from edge.money.spend_file import SpendFileError
from edge.money.usage_table import UsageTable
from edge.server import handover, tls
from edge.server.access import told
from edge.server.asgi import EdgeApplication
from edge.server.children import ELSEWHERE, Slot, Worker
from edge.server.compose import Shared, compose, machine_id, tell_notes
from edge.server.crowd import Crowd, bounds
from edge.server.descriptors import raise_limit
from edge.server.files import read_files
from edge.server.handover import Handover, LeftSlot
from edge.server.keeper import Keeper, path_of, wanted
from edge.server.listening import address_of, given_by_systemd, listen, more_of, only_loopback, spread
from edge.server.malloc import give_back
from edge.server.memory import share
from edge.server.reloading import Reloading
from edge.server.snapshot import read_snapshot
from edge.server.sparing import UNWANTED, without
from edge.server.supervisor import Supervisor, places
from edge.server.turned_away import TurnedAway
from edge.server.worker import BEAT, Orders, run_worker
from edge.telemetry.logs import Logs, where
from edge.telemetry.metrics import LAYOUT as METRICS_LAYOUT
from edge.telemetry.metrics import shared_slots
from edge.telemetry.recent import recent_size
from edge.telemetry.supervision import Supervision
from edge.upstreams.notices import notices_size

__all__ = ["StartError", "launch"]

LAYOUT = f"1/{'compiled' if COMPILED else 'pure'}/{BEAT.size}/{METRICS_LAYOUT}"
"""Of all memory that the processes share: a program that would read it differently begins with memory of its own."""


class StartError(Exception):
    """Why the edge cannot start, for people."""


def launch(
    reading: Reading,
    path: str | None,
    reread: Callable[[], Reading],
    announce: Callable[[str], list[str]],
    *,
    insecure: bool = False,
    can_upgrade: bool = False,
    watching: bool = False,
) -> int:
    """Serve what was read until a signal ends it; returns the exit code.

    `path` is the configuration file and `reread` reads it again for SIGHUP (raising ConfigError); `announce` makes of
    the address, once it is bound, lines for people. `insecure` is that of the command line; `can_upgrade` says that
    what started this process can do so again, for SIGUSR2; `watching`, that a change of the file is as good as SIGHUP.
    Raises StartError.
    """
    config = reading.config
    server = config.server
    if os.environ.get("EDGE_FRONT", "lane") not in ("lane", "asgi"):
        raise StartError("EDGE_FRONT is 'lane' or 'asgi'")
    left = handover.take(os.environ)
    try:
        context = read_files(config)
    except ConfigError as error:
        raise StartError(str(error)) from None
    if config.cache.redis is not None:
        import_module("edge.redis.client")  # before the fork, so that the workers share it
    if config.telemetry.tracing.otlp_endpoint is not None:
        import_module("edge.telemetry.otlp")  # likewise
    with contextlib.suppress(ImportError):
        import_module("uvloop")  # likewise, though each worker makes a loop of its own
    if handover.REHEARSAL in os.environ:
        return 0
    with without(UNWANTED):  # lines for people are structlog's, which imports for them what it would use
        logs = Logs(config.telemetry.log.level, config.telemetry.log.format, sample=config.telemetry.log.sample)
    logs.start()
    listen_to_libraries(logs.log)
    tell_notes(reading.notes, logs.log)
    slots, bound = open_slots(server, left, logs.log)
    listeners = [listener for slot in slots if not slot.leaving for listener in slot.listeners]
    loopback_only = only_loopback(listeners) if bound is None else is_loopback(server.host)
    if config.auth.open and not loopback_only and not insecure:
        raise StartError(
            "others can reach the sockets of LISTEN_FDS, and no keys are set: add auth.keys, or --insecure"
        )

    memory = Memory(server.workers, left)
    if left is not None and not memory.taken_over:
        for slot in slots:
            for worker in slot.retiring:
                worker.place = ELSEWHERE
    metric_slots = shared_slots(places(server.workers) + 1, memory.metrics.view)
    generation = Generation(memory.generation.view)
    table = shared_limits(places(server.workers), memory.lock, memory.limits.view)
    spend = shared_spend(places(server.workers), memory.lock, memory.spend.view)
    keeper = Keeper(
        spend,
        UsageTable(memory.usage.view, places(server.workers)),
        path_of(config),
        logs.log,
        begins=not memory.taken_over,
    )
    if wanted(config):
        try:
            keeper.open()
        except SpendFileError as error:
            raise StartError(str(error)) from None
    machine = machine_id()
    descriptors = raise_limit()
    if server.max_connections is not None and server.max_connections > bounds(server, descriptors)[0]:
        logs.log.warning("server.max_connections is more than this process may open", descriptors=descriptors)
    scheme = "http" if context is None else "https"
    settings = Reloading(reading, path, reread, logs.log, watching=watching)

    def serve(orders: Orders) -> None:
        logs.start()
        try:
            work(orders)
        except BaseException as error:
            logs.log.error("worker failed", error=f"{type(error).__name__}: {error}")
            raise
        finally:
            logs.stop()

    def work(orders: Orders) -> None:
        current = settings.snapshot
        shared = Shared(
            slots=metric_slots,
            limits=table,
            spend=spend,
            usage=UsageTable(memory.usage.view, places(server.workers), orders.place + 1),
            generation=generation,
            notices=memory.notices.view,
            recent=memory.recent.view,
            region=orders.place + 1,
            since=memory.since,
            machine=machine,
        )
        edge = compose(current.config, current.keys, loopback_only=loopback_only, shared=shared, logs=logs)
        app = EdgeApplication(edge)

        def load(file: int) -> tuple[Config, KeyTable]:
            try:
                snapshot = read_snapshot(file)
            finally:
                os.close(file)
            return snapshot.config, snapshot.keys

        crowd = Crowd(*bounds(current.config.server, descriptors), edge.metrics, logs.log, TurnedAway.instead_of)

        meeting = tls.Meeting(context) if context is not None else None

        def meet(new: Config) -> None:
            if meeting is None or new.server.tls is None:
                return
            try:
                meeting.renew(new.server.tls)
            except OSError as error:
                logs.log.error("the TLS certificate cannot be read, the old one stays", error=type(error).__name__)

        meet(current.config)  # the files may be others than when the edge began

        def prepared(new: Config) -> None:
            crowd.total, crowd.per_address = bounds(new.server, descriptors)
            meet(new)

        run_worker(app, lambda file: app.reload(lambda: load(file), prepared), orders, meeting, crowd)

    def worker_gone(place: int) -> None:
        """What a worker leaves behind: its counts are kept, its requests have ended."""
        metric_slots.fold(place + 1)
        table.clear_worker(place + 1)
        spend.clear_worker(place + 1)

    def before_execution() -> None:
        keeper.write()
        logs.stop()

    def hand_over(left_slots: list[LeftSlot]) -> Handover:
        return Handover(os.getpid(), bound, left_slots, memory.left(), memory.since)

    address = address_of(listeners[0], scheme)
    logs.log.info(
        "serving",
        version=__version__,
        build="compiled" if COMPILED else "pure",
        address=address,
        workers=server.workers,
        auth="none" if config.auth.open else "keys",
        providers=list(config.providers),
        **({"took_over": sum(len(slot.retiring) for slot in slots)} if left is not None else {}),
    )
    if not logs.pretty:  # a screenful; GET /health has it for people
        logs.log.info("routes", **told(open_=config.auth.open))
    elif left is None:
        for line in announce(address):
            logs.msg(line)

    supervisor = Supervisor(
        slots,
        serve,
        logs.log,
        beats=memory.beats.view,
        drain_s=server.drain_s,
        drain_delay_s=server.drain_delay_s,
        configuration=settings,
        worker_gone=worker_gone,
        watcher=Supervision(metric_slots, places(server.workers) + 1),
        hand_over=hand_over if can_upgrade else None,
        each_turn=keeper.look,
        before_execution=before_execution,
        after_failure=logs.start,
    )
    settings.begin()
    give_back()  # the workers inherit it, without the pages that it takes to ask for it
    gc.collect()
    gc.freeze()  # shared with the workers: no collection is to write to it
    gc.enable()
    try:
        return supervisor.run()
    finally:
        keeper.write()
        logs.stop()


class Memory:
    """What the processes share: beats, metrics, limits, money, the generation of the caches, notices of upstreams, and
    for the pure build a lock.
    """

    def __init__(self, workers: int, left: Handover | None) -> None:
        count = places(workers)
        given = dict(left.memory) if left is not None else {}
        layout = f"{LAYOUT}/{count}"
        self.taken_over = bool(given) and all(known.startswith(f"{layout}/") for _, known in given.values())
        if not self.taken_over:
            for file, _ in given.values():
                os.close(file)
            given = {}
        self.since = left.since if left is not None and self.taken_over else time.time()
        """When it began to be written, in seconds of the wall clock."""
        self.beats = share("beats", BEAT.size * count, layout, given.get("beats"))
        self.metrics = share("metrics", Slots.size(count + 1), layout, given.get("metrics"))
        self.limits = share("limits", limits_size(count), layout, given.get("limits"))
        self.spend = share("spend", spend_size(count), layout, given.get("spend"))
        self.usage = share("usage", UsageTable.size(count), layout, given.get("usage"))
        self.generation = share("generation", PAGESIZE, layout, given.get("generation"))
        self.notices = share("notices", notices_size(count), layout, given.get("notices"))
        self.recent = share("recent", recent_size(count), layout, given.get("recent"))
        self._lock = None if COMPILED else share("lock", PAGESIZE, layout, given.get("lock"))
        # Where memory has no file, something else has to have one.
        self._lock_file = None
        if self._lock is not None and self._lock.file < 0:
            self._lock_file = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as there are workers

    @property
    def lock(self) -> int | None:
        if self._lock_file is not None:
            return self._lock_file.fileno()
        return self._lock.file if self._lock is not None else None

    def left(self) -> dict[str, tuple[int, str]]:
        """What a next program can take over: all of it, or nothing."""
        named = {
            "beats": self.beats,
            "metrics": self.metrics,
            "limits": self.limits,
            "spend": self.spend,
            "usage": self.usage,
            "generation": self.generation,
            "notices": self.notices,
            "recent": self.recent,
        }
        if self._lock is not None:
            named["lock"] = self._lock
        if any(shared.file < 0 for shared in named.values()):
            return {}
        return {name: (shared.file, shared.layout) for name, shared in named.items()}


def open_slots(server: Server, left: Handover | None, log: Any) -> tuple[list[Slot], tuple[str, int] | None]:
    """A slot for each worker, with its sockets, and those that are left to be given up; and which host and port they
    are of, None for sockets that systemd gave. Raises StartError.
    """
    wanted = (server.host, server.port)
    try:
        given = given_by_systemd(os.environ)
        if left is None:
            if given:
                return [Slot(n, each) for n, each in enumerate(spread(given, server.workers))], None
            return [Slot(n, each) for n, each in enumerate(listen(*wanted, server.workers))], wanted
    except OSError as error:
        hint = " (--port chooses another)" if error.errno == errno.EADDRINUSE else ""
        raise StartError(f"cannot listen on {server.host}:{server.port}: {error.strerror or error}{hint}") from None
    slots = [taken_over(number, slot) for number, slot in enumerate(left.slots)]
    bound = left.bound
    if bound is not None and bound != wanted:
        try:
            fresh = [Slot(n, each) for n, each in enumerate(listen(*wanted, server.workers))]
        except OSError as error:
            log.error(
                "cannot listen there, the old address stays", host=wanted[0], port=wanted[1], error=error.strerror
            )
        else:
            for slot in slots:
                slot.leaving = True
            return [*fresh, *slots], wanted
    for slot in slots[server.workers :]:
        slot.leaving = True
    try:
        for number in range(len(slots), server.workers):
            slots.append(Slot(number, [more_of(sock) for sock in slots[0].listeners]))
    except OSError as error:
        raise StartError(f"cannot listen for further workers: {error.strerror or error}") from None
    return slots, bound


def taken_over(number: int, left: LeftSlot) -> Slot:
    """A slot of the program before this one, whose workers go on until new ones are ready."""
    return Slot(
        number,
        [socket.socket(fileno=each) for each in left.listeners],
        retiring=[
            Worker(
                each.pid,
                socket.socket(fileno=each.control),
                each.started,
                each.place,
                ready=True,
                retiring_since=each.retiring_since,
            )
            for each in left.workers
        ],
    )


def listen_to_libraries(log: Any) -> None:
    """Take what libraries and the interpreter complain about: by default they write to the standard error, and wait."""
    handler = ToLogs(log)
    logging.getLogger().handlers[:] = [handler]
    logging.captureWarnings(capture=True)

    def unraisable(what: Any) -> None:
        log.error("internal error", error=where(what.exc_value or what.exc_type()))

    sys.unraisablehook = unraisable
    threading.excepthook = unraisable


class ToLogs(logging.Handler):
    """The complaints of uvicorn, asyncio and others as lines of ours. What follows the first line may hold anything."""

    def __init__(self, log: Any) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        told = {"error": where(record.exc_info[1])} if record.exc_info and record.exc_info[1] else {}
        self._log.warning("server", message=record.getMessage().partition("\n")[0][:200], **told)
