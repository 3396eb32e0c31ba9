"""The files that a configuration names beside those of its secrets and keys: certificates, and authorities to trust."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from edge.config import Config
from edge.config.file import ConfigError
from edge.guard.key_table import KeyTable
from edge.redis.url import tls_for
from edge.server.tls import make_context
from edge.state import build_state
from edge.upstreams import fleet

__all__ = ["read_files"]

SOURCE = "files of the configuration"
NO_KEYS = KeyTable.of([])
"""Those of a configuration need no looking at here."""


def read_files(config: Config) -> ssl.SSLContext | None:
    """Read all of them once, as serving does; the context of TLS towards clients, None for none. Raises ConfigError
    with what is wrong.
    """
    tried = [(setting, path, _try(read)) for setting, path, read in _named(config)]
    errors = [f"{setting}: '{path}' {wrong}" for setting, path, wrong in tried if wrong]
    if errors:
        raise ConfigError(SOURCE, errors)
    try:
        context = make_context(config.server.tls) if config.server.tls is not None else None
    except OSError as error:
        raise ConfigError(SOURCE, [f"server.tls: {error.strerror or error}"]) from None
    try:
        build_state(config, NO_KEYS)
    except OSError as error:
        raise ConfigError(SOURCE, [f"a provider's ca_file cannot be read: {error.strerror or error}"]) from None
    return context


def _named(config: Config) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Where each is named, its path, and what reads it."""
    tls, redis = config.server.tls, config.cache.redis
    if tls is not None:
        yield "server.tls.cert", tls.cert, partial(_open, tls.cert)
        yield "server.tls.key", tls.key, partial(_open, tls.key)
        if tls.client_ca is not None:
            yield "server.tls.client_ca", tls.client_ca, partial(ssl.create_default_context, cafile=tls.client_ca)
    for name, provider in config.providers.items():
        if provider.ca_file is not None and provider.base_url.startswith("https:"):
            yield f"providers.{name}.ca_file", provider.ca_file, partial(fleet.tls_for, provider)
    if redis is not None and redis.ca_file is not None:
        yield "cache.redis.ca_file", redis.ca_file, partial(tls_for, redis.ca_file)


def _open(path: str) -> None:
    with Path(path).open("rb"):
        pass


def _try(read: Callable[[], object]) -> str:
    """What is wrong with it, "" for nothing."""
    try:
        read()
    except ssl.SSLError:
        return "has no certificates in it, in PEM"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""
