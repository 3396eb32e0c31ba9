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
    *("calendar", "difflib", "html", "http.client", "importlib.metadata", "locale", "logging.config"),
    *("msgspec.inspect", "platform", "shutil", "sqlite3", "structlog.dev", "tempfile", "tokenize", "tomllib"),
    *("urllib.error", "urllib.request", "zipfile"),
)
"""Modules that are imported, with all that they import, and that nearly no edge uses: for TOML, limits that are kept in
a file, models that do not exist, schemas, sources in tracebacks, files that are copied or replaced, lines for people,
BlackSheep's client and pages of errors, websockets' version, Python's version, uvicorn's own log, encodings of
other processes."""


STAND_INS = (
    *("blacksheep.server.errors", "blacksheep.server.files", "guardpost", "itsdangerous"),
    *("structlog.stdlib", "structlog.testing", "structlog.threadlocal", "structlog.twisted", "uvicorn._types"),
    "uvicorn.main",
)
"""Libraries' modules in whose place, and of all inside them, are others that have any name and nothing behind it:
BlackSheep's pages of errors, its files, what it knows users and their sessions by; structlog's ways into other logs;
uvicorn's types, and its command line with what it supervises workers by, which is ours to do.
"""

NAMED = {
    "blacksheep.contents": "tempfile",
    "click": "gettext",
    "email.utils": "email.charset",
    "structlog._config": "structlog.dev",
    "structlog._output": "pickle",
    "uvicorn.config": "configparser",
}
"""Modules, each with another of which it only has names, for what we never ask of it (forms, addresses of mail, loggers
by default or pickled) and for annotations: others use the true one."""

SAID = {"gettext": {"gettext": lambda text: text, "ngettext": lambda one, more, count: one if count == 1 else more}}
"""What is behind some of the names all the same: Click has no texts in other languages, and would look for them."""


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


class _Nothing(Exception):
    """What names mean that mean nothing: it may be called, derived from, of some type, caught and one of two in an
    annotation.
    """

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __class_getitem__(cls, _: object) -> type:
        return cls


class _Nominal(ModuleType):
    """A module that has each name it is asked for, and nothing behind it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []
        self.__dict__.update(SAID.get(name, {}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.__dict__[name] = nothing = type(name, (_Nothing,), {"__module__": self.__name__})
        return nothing


class _StandIn:
    """Loads a module of names that mean nothing."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Nominal(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Naming:
    """Loads what another would load, which finds a module of names in the place of a true one."""

    def __init__(self, loader: Any, named: str) -> None:
        self._loader, self._named = loader, named

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None  # noqa: S101 - who loads it has given it one
        module.__spec__.loader = module.__loader__ = self._loader
        with _instead({self._named: _Nominal(self._named)}):
            self._loader.exec_module(module)


class _Finder:
    """Finds promises of `LATER`, `STAND_INS`, and what has names only (`NAMED`)."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if f"{fullname}.".startswith(tuple(f"{name}." for name in STAND_INS)):
            return ModuleSpec(fullname, _StandIn())  # type: ignore[arg-type]
        spec = PathFinder.find_spec(fullname, path) if fullname in LATER or fullname in NAMED else None
        if spec is not None:
            loader = _Loader(spec.loader) if fullname in LATER else _Naming(spec.loader, NAMED[fullname])
            spec.loader = loader  # type: ignore[assignment]
        return spec


def promise() -> None:
    """From here on, `LATER` are promises when they are imported, and `STAND_INS` and `NAMED` are what they are."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


@contextmanager
def without(names: Sequence[str]) -> Iterator[None]:
    """What is imported inside finds none of these packages, but for those that are imported already."""
    with _instead(dict.fromkeys(names)):  # an ImportError for who imports it
        yield


@contextmanager
def _instead(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """What is imported inside finds these modules, in the place of those that are not imported yet or are promises."""
    before = {name: sys.modules.get(name) for name in modules}
    hidden = {name for name, module in before.items() if module is None or type(module) is _Promise}
    sys.modules.update({name: modules[name] for name in hidden})  # type: ignore[misc]
    try:
        yield
    finally:
        for name in hidden:
            promised = before[name]
            if promised is None:
                del sys.modules[name]
            else:
                sys.modules[name] = promised
