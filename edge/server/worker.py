"""One worker process: the application under uvicorn, its beat, its reloads and its end.

A worker takes orders from its supervisor alone, over a socket pair: a byte for each, with the descriptor of a file
where there is a configuration to take, or the end of the stream, which means that the supervisor is gone. SIGTERM
drains. SIGINT and SIGHUP are left to the supervisor, because a terminal sends them to the whole group.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Any

import uvicorn
import uvicorn.lifespan.on
from uvicorn.server import Server

from edge.server.asgi import EdgeApplication
from edge.server.crowd import Crowd
from edge.server.handshake import Doorman
from edge.server.lane import Lane
from edge.server.listening import BACKLOG
from edge.server.patience import SWEEP_S
from edge.server.protocol import EdgeProtocol
from edge.server.tls import Meeting

__all__ = ["BEAT", "CONFIGURATION", "READY", "UNREADY", "Orders", "beat", "run_worker"]

BEAT_S = 0.25
SWEPT_AT_ONCE = 500
GC_THRESHOLD = (50_000, 20, 20)
FRONTS = {"lane": Lane, "asgi": EdgeProtocol}
"""How API requests reach the gateway, by the variable EDGE_FRONT: straight, or over ASGI as under any other server."""
GRACE_S = 1.0
"""While draining, idle connections stay open this long, so that a request that is already on its way is answered (with
``connection: close``) and not reset."""
INTERRUPT_S = 0.5
READY = b"R"
CONFIGURATION = b"C"
UNREADY = b"U"
MAX_FILES = 16
BEAT = struct.Struct("d")

Reload = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is given: its listening sockets, the supervisor's end to talk to, the memory to beat in, and its
    place there and in whatever else has one per process. ``unready``: the edge is about to end.
    """

    listeners: list[socket.socket]
    control: socket.socket
    beats: mmap
    place: int
    drain_s: float
    unready: bool


def beat(beats: mmap, place: int, now: float) -> None:
    """Tell that the worker of a place is well. The time is written at once: `Struct.pack_into` clears its place first,
    and a supervisor that looks in between would see a worker that has been silent since the machine was started.
    """
    at = place * BEAT.size
    beats[at : at + BEAT.size] = BEAT.pack(now)


def run_worker(app: EdgeApplication, reload: Reload, orders: Orders, tls: Meeting | None, crowd: Crowd) -> None:
    """Serve until SIGTERM or until the supervisor is gone, then drain. Returns when everything is closed.

    `reload` takes the descriptor of a file, which it closes, and must neither wait nor raise; `tls` is what clients are
    met with, None for plain HTTP; `crowd` bounds their connections.
    """
    # A handler in C: it needs no GIL, so it shows where a stalled worker hangs, whatever holds it.
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True, chain=False)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    config = uvicorn.Config(
        app,
        http=Lane,  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
    )
    _Server(config, app, reload, orders, tls, crowd).run(sockets=orders.listeners)


class _Server(Server):
    """uvicorn's server without its signal handling (it raises the signal again at the end, so the exit code would not
    be 0) and with a drain of our own (its own would wait for ever).
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: EdgeApplication,
        reload: Reload,
        orders: Orders,
        tls: Meeting | None,
        crowd: Crowd,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._reload = reload
        self._orders = orders
        self._tls = tls
        self._doorman: Doorman | None = None
        self._crowd = crowd
        self._lost = 0
        self._front = FRONTS[os.environ.get("EDGE_FRONT", "lane")]
        self._spares = [listener.dup() for listener in orders.listeners]
        self._forced = False
        self._round: list[Any] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_sigterm)
        self._orders.control.setblocking(False)
        loop.add_reader(self._orders.control.fileno(), self._on_order)
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise SystemExit(3)
        self.servers = []
        for sock in sockets or ():
            await self._listen(loop, sock)
        if self._orders.unready:
            self._app.ready = False
        self.started = True
        # What is here now stays; and what a request leaves behind is freed by its reference counts, nearly all of it,
        # so that the collector need not look every 700 objects.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        self._beat(loop)
        self._sweep(loop)
        with contextlib.suppress(OSError):
            self._orders.control.send(READY)

    async def _listen(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        if self._tls is not None:
            if self._doorman is None:
                self._doorman = Doorman(self._tls, self._crowd, self._connect, self.server_state.tasks)
            self._doorman.watch(sock)
        elif sock.family == socket.AF_UNIX:
            server = await loop.create_unix_server(self._connect, sock=sock, backlog=BACKLOG)  # type: ignore[arg-type]
            self.servers.append(server)
        else:
            server = await loop.create_server(self._connect, sock=sock, backlog=BACKLOG)  # type: ignore[arg-type]
            self.servers.append(server)

    def _connect(self) -> EdgeProtocol:
        """The protocol of a new connection."""
        made = self._front(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        made.crowd = self._crowd
        return made

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        beat(self._orders.beats, self._orders.place, time.monotonic())
        app, lost = self._app, self._app.logs.dropped
        app.metrics.level("edge_connections", self._crowd.open)
        if lost > self._lost:
            app.metrics.count("edge_log_lines_dropped_total", amount=lost - self._lost)
            self._lost = lost
        loop.call_later(BEAT_S, self._beat, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop, place: int = 0) -> None:
        """One look at the deadlines of all connections, instead of a timer for each; in slices, so that nobody waits
        for a look at ten thousand.
        """
        if place == 0:
            self._round = list(self.server_state.connections)
        slices = 1 + len(self._round) // SWEPT_AT_ONCE
        now = loop.time()
        for connection in self._round[place::slices]:
            if connection.deadline <= now:
                connection.expire()
        loop.call_later(SWEEP_S / slices, self._sweep, loop, (place + 1) % slices)

    def _on_sigterm(self) -> None:
        self._forced = self.should_exit
        self.should_exit = True

    def _on_order(self) -> None:
        files: list[int] = []
        try:
            data, files, _, _ = socket.recv_fds(self._orders.control, 64, MAX_FILES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._orders.control.fileno())
            self.should_exit = True
            return
        if UNREADY in data:
            self._app.ready = False
        # The latest of several is the one that counts.
        for file in files[:-1]:
            os.close(file)
        for file in files[-1:]:
            self._reload(file)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let answers finish until ``drain_s``, then end streams in an error event."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._app.drain()
        for server in self.servers:
            server.close()
        if self._doorman is not None:
            for listener in self._orders.listeners:
                self._doorman.stop(listener)
        await self._accept_the_queue(loop)
        connections = self.server_state.connections
        while connections and loop.time() - begun < self._orders.drain_s and not self._forced:
            if loop.time() - begun >= GRACE_S:
                for connection in list(connections):
                    connection.shutdown()
            await asyncio.sleep(0.02)
        self._app.interrupt()
        interrupted = loop.time()
        while (connections or self.server_state.tasks) and loop.time() - interrupted < INTERRUPT_S:
            for connection in list(connections):
                connection.shutdown()
            await asyncio.sleep(0.02)
        for connection in list(connections):
            connection.transport.abort()
        await self.lifespan.shutdown()

    async def _accept_the_queue(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the connections that the kernel has accepted and we have not: closing the socket would reset them.

        Where another worker listens on the same socket this takes them off its hands, no more.
        """
        for spare in self._spares:
            spare.setblocking(False)
            with spare:
                while self._doorman is not None and self._doorman.accept(spare):
                    pass
                while self._doorman is None:
                    try:
                        connection, _ = spare.accept()
                    except (BlockingIOError, InterruptedError, OSError):
                        break
                    connection.setblocking(False)
                    await loop.connect_accepted_socket(self._connect, connection)  # type: ignore[type-var]
