"""The configuration that workers begin with, and how another takes its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec

from edge.config import Config, Server
from edge.config.file import ConfigError, Reading, renewed, watched
from edge.server.compose import tell_notes
from edge.server.files import read_files
from edge.server.memory import open_file
from edge.server.snapshot import read_snapshot, write_snapshot
from edge.server.watch import Watch

__all__ = ["Reloading"]

NEEDS_RESTART = ("host", "port", "workers", "drain_s", "drain_delay_s")
"""Settings of the server that SIGHUP leaves as they were; SIGUSR2, which begins anew, takes them too."""


class Reloading:
    """The configuration that workers begin with, and how another takes its place."""

    def __init__(
        self, reading: Reading, path: str | None, reread: Callable[[], Reading], log: Any, *, watching: bool
    ) -> None:
        """`watching`: a change of the file `path` has it read again, as SIGHUP does."""
        self._watch = Watch()
        self._own = Watch()
        self._path = path
        self._reread = reread
        self._log = log
        file = open_file("edge-configuration")
        write_snapshot(file, reading, [])
        self.snapshot = read_snapshot(file)
        os.close(file)
        self._watch.watch(watched(reading.config), reading.begun)
        self._own.watch([path] if watching and path is not None else [], reading.begun)

    def begin(self) -> None:
        """Look at files from now on, in this process."""
        self._watch.begin()
        self._own.begin()

    def read(self, file: int) -> bool:
        """`edge.server.supervisor.Configuration`'s; everything that takes long or can fail is done here."""

        def anew() -> Reading:
            if self._path is None:
                raise ConfigError("", ["nothing to reload: there is no configuration file"])
            return self._reread()

        return self._write(file, anew)

    def rewritten(self) -> bool:
        return self._own.changed()

    def changed(self) -> bool:
        return self._watch.changed()

    def renew(self, file: int) -> bool:
        """`edge.server.supervisor.Configuration`'s: what stands in the configuration's file is left as it was read."""
        return self._write(file, lambda: renewed(self.snapshot.config, self.snapshot.keys.own()))

    def _write(self, file: int, read: Callable[[], Reading]) -> bool:
        try:
            reading = read()
            new = reading.config
            read_files(new)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old configuration still serves
            errors = error.errors if isinstance(error, ConfigError) else [f"{type(error).__name__} at reading"]
            if isinstance(error, OSError):
                errors = [f"a file that it names cannot be read: {error.strerror or error}"]
            os.write(file, "\n".join(errors).encode("utf-8", "replace"))
            return False
        old = self.snapshot.config
        limits = msgspec.structs.replace(new.limits, file=old.limits.file)
        told = msgspec.structs.replace(old.telemetry, tracing=new.telemetry.tracing)
        kept = msgspec.structs.replace(new, server=keep(old, new), telemetry=told, limits=limits)
        write_snapshot(file, msgspec.structs.replace(reading, config=kept), restart_needed(old, new))
        return True

    def adopt(self, file: int) -> None:
        self.snapshot = read_snapshot(file)
        self._watch.watch(watched(self.snapshot.config), self.snapshot.begun)
        self._watch.begin()
        self._log.info("reloading", path=self._path, needs_restart=self.snapshot.needs_restart)
        tell_notes(self.snapshot.notes, self._log)


def restart_needed(old: Config, new: Config) -> list[str]:
    """The settings whose change only a restart brings about."""
    changed = [f"server.{name}" for name in NEEDS_RESTART if getattr(old.server, name) != getattr(new.server, name)]
    if old.limits.file != new.limits.file:
        changed.append("limits.file")
    if old.telemetry != msgspec.structs.replace(new.telemetry, tracing=old.telemetry.tracing):
        changed.append("telemetry")
    if (old.server.tls is None) != (new.server.tls is None):
        changed.append("server.tls")
    return changed


def keep(old: Config, new: Config) -> Server:
    """The server section that is in force after a reload."""
    return msgspec.structs.replace(new.server, **{name: getattr(old.server, name) for name in NEEDS_RESTART})
