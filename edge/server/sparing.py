"""Libraries of ours without those that they would use if these were here, and without what they only name: nobody asks
for what that adds, and it would be in the memory of every worker.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import Any

__all__ = ["LATER", "STAND_INS", "UNWANTED", "promise", "without"]

UNWANTED = ("pydantic", "twisted", "rich", "better_exceptions", "typing_extensions", "watchfiles")
"""What BlackSheep reads bodies into, what structlog writes for or with, what msgspec takes types from, which the
standard library has too, and what uvicorn's reloader watches by."""

LATER = (
    *("calendar", "difflib", "html", "http.client", "importlib.metadata", "logging.config", "platform", "sqlite3"),
    *("tomllib", "urllib.error", "urllib.request", "zipfile"),
)
"""Modules of the standard library that are imported, with all that they import, and that nearly no edge uses: for TOML,
limits that are kept in a file, models that do not exist, BlackSheep's client and pages of errors, websockets' version,
Python's version, uvicorn's own log."""


STAND_INS = {"uvicorn.main": ("Server", "main", "run")}
"""Modules in whose place are others, with these names and nothing behind them: uvicorn's command line, and with it what
it supervises workers by, which is ours to do.
"""


class _Promise(ModuleType):
    """A module that is executed when it is first asked for something. The standard library's own (`LazyLoader`) is so
    when it is imported twice, too, or asked where its file is.
    """

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":
            return ModuleType.__getattribute__(self, name)
        with self.__dict__["_lock"]:  # so nobody else sees what is half there, nor what was left of a failure
            loader = self.__dict__.pop("_loader", None)
            if loader is not None:  # else it is being executed by this thread, or another has just done it
                try:
                    loader.exec_module(self)
                except BaseException:
                    self.__dict__["_loader"] = loader
                    raise
                self.__class__ = ModuleType  # type: ignore[assignment]
        return ModuleType.__getattribute__(self, name)


class _Loader:
    """Loads a promise of what another would load."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Promise(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None  # noqa: S101 - who loads it has given it one
        module.__spec__.loader = module.__loader__ = self._loader
        module.__dict__.update(_loader=self._loader, _lock=RLock())


class _StandIn:
    """Loads a module of names that mean nothing."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__dict__.update(dict.fromkeys(STAND_INS[spec.name]))
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Finder:
    """Finds promises of `LATER`, and `STAND_INS`."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if fullname in STAND_INS:
            return ModuleSpec(fullname, _StandIn())  # type: ignore[arg-type]
        spec = PathFinder.find_spec(fullname, path) if fullname in LATER else None
        if spec is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


def promise() -> None:
    """From here on, `LATER` are promises when they are imported, and `STAND_INS` are what they are."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


@contextmanager
def without(names: Sequence[str]) -> Iterator[None]:
    """What is imported inside finds none of these packages, but for those that are imported already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # an ImportError for who imports it
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
