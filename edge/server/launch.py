"""From a configuration to a running edge: everything is put together here.

The supervisor's process imports, listens and forks; each worker builds its application after the fork, since
connections, threads and loops do not survive one.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from mmap import PAGESIZE, mmap
from pathlib import Path
from typing import Any

import msgspec

from edge import __version__
from edge._fast import COMPILED
from edge.cache.answers import Answers
from edge.cache.memory import Generation
from edge.config import Config, Server, is_loopback
from edge.config_file import ConfigError, parse
from edge.gateway import Gateway
from edge.guard.limits import KeyLimits, shared_limits
from edge.server import tls
from edge.server.asgi import EdgeApplication
from edge.server.supervisor import Supervisor, listen, places
from edge.server.worker import Orders, run_worker
from edge.state import build_state
from edge.telemetry import Fanout
from edge.telemetry.logs import Logs, where
from edge.telemetry.metrics import Metrics, shared_slots

__all__ = ["StartError", "launch"]

NEEDS_RESTART = ("host", "port", "workers", "drain_s")


class StartError(Exception):
    """Why the edge cannot start, for people."""


def launch(
    config: Config,
    path: str | None,
    reread: Callable[[], Config],
    announce: Callable[[str], list[str]],
) -> int:
    """Serve `config` until a signal ends it; returns the exit code.

    `path` is the configuration file and `reread` reads it again for SIGHUP (raising ConfigError); `announce` makes of
    the address, once it is bound, lines for people. Raises StartError.
    """
    server = config.server
    if os.environ.get("EDGE_FRONT", "lane") not in ("lane", "asgi"):
        raise StartError("EDGE_FRONT is 'lane' or 'asgi'")
    loopback_only = is_loopback(server.host)
    logs = Logs(config.telemetry.log.level, config.telemetry.log.format)
    logs.start()
    listen_to_libraries(logs.log)
    slots = shared_slots(places(server.workers))
    generation = Generation(mmap(-1, PAGESIZE))
    # Kept open for as long as there are workers.
    lock = None if COMPILED else tempfile.TemporaryFile()  # noqa: SIM115
    table = shared_limits(places(server.workers), lock.fileno() if lock is not None else None)
    since = time.time()
    current = config

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
        metrics = Metrics(slots, orders.place + 1, alone=server.workers == 1, since=since)
        state = build_state(current, loopback_only=loopback_only)
        answers = Answers(current.cache, metrics, generation, logs.log)
        limits = KeyLimits(table, orders.place + 1, metrics)
        app = EdgeApplication(Gateway(state, Fanout(metrics, logs), metrics, answers, limits), metrics, logs)

        def reload(text: str) -> None:
            settings = parse(text, path or "", os.environ, checked=False)
            if context is not None and settings.server.tls is not None:
                try:
                    tls.load(context, settings.server.tls)
                except OSError as error:
                    logs.log.error("the TLS certificate cannot be read, the old one stays", error=type(error).__name__)
            app.reload(settings)

        run_worker(app, reload, orders, context)

    def read_again() -> str | None:
        """For the supervisor: the file's text if it is valid, having said what it changes."""
        nonlocal current
        if path is None:
            logs.log.warning("nothing to reload: there is no configuration file")
            return None
        try:
            text = Path(path).read_text(encoding="utf-8")
            new = reread()
            if context is not None and new.server.tls is not None:
                tls.make_context(new.server.tls)
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            errors = error.errors if isinstance(error, ConfigError) else [type(error).__name__]
            logs.log.error("reload refused, the old configuration stays", errors=errors)
            return None
        pending = restart_needed(current, new)
        current = msgspec.structs.replace(new, server=keep(current, new), telemetry=current.telemetry)
        logs.log.info("reloading", path=path, needs_restart=pending)
        return text

    def worker_gone(place: int) -> None:
        """What a worker leaves behind: its counts are kept, its requests have ended."""
        slots.fold(place + 1)
        table.clear_worker(place + 1)

    try:
        context = tls.make_context(server.tls) if server.tls is not None else None
    except OSError as error:
        raise StartError(f"server.tls: {error.strerror or error}") from None
    try:
        listeners = listen(server.host, server.port, server.workers)
    except OSError as error:
        hint = " (--port chooses another)" if error.errno == errno.EADDRINUSE else ""
        raise StartError(f"cannot listen on {server.host}:{server.port}: {error.strerror}{hint}") from None
    try:
        build_state(config)
    except OSError as error:
        raise StartError(f"a provider's ca_file cannot be read: {error.strerror or error}") from None
    host = f"[{server.host}]" if ":" in server.host else server.host
    address = f"{'http' if context is None else 'https'}://{host}:{listeners[0].getsockname()[1]}"
    logs.log.info(
        "serving",
        version=__version__,
        build="compiled" if COMPILED else "pure",
        address=address,
        workers=server.workers,
        auth="none" if config.auth.open else "keys",
        providers=list(config.providers),
    )
    if logs.pretty:  # who reads lines of JSON is a machine
        for line in announce(address):
            logs.msg(line)

    supervisor = Supervisor(
        listeners,
        serve,
        logs.log,
        drain_s=server.drain_s,
        reread=read_again,
        worker_gone=worker_gone,
    )
    try:
        return supervisor.run()
    finally:
        logs.stop()


def restart_needed(old: Config, new: Config) -> list[str]:
    """The settings whose change only a restart brings about."""
    changed = [f"server.{name}" for name in NEEDS_RESTART if getattr(old.server, name) != getattr(new.server, name)]
    if old.telemetry != new.telemetry:
        changed.append("telemetry")
    if (old.server.tls is None) != (new.server.tls is None):
        changed.append("server.tls")
    return changed


def keep(old: Config, new: Config) -> Server:
    """The server section that is in force after a reload."""
    return msgspec.structs.replace(new.server, **{name: getattr(old.server, name) for name in NEEDS_RESTART})


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
        self._log.warning("server", message=record.getMessage().partition("\n")[0][:200])
