"""The files that a configuration names beside those of its secrets and keys: certificates, and authorities to trust."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from edge.config import Config
from edge.config.file import ConfigError
from edge.guard.key_table import KeyTable
from edge.server.tls import make_context
from edge.state import build_state

__all__ = ["read_files"]

SOURCE = "files of the configuration"
NO_KEYS = KeyTable.of([])
"""Those of a configuration need no looking at here."""


def read_files(config: Config) -> ssl.SSLContext | None:
    """Read all of them once, as serving does; the context of TLS towards clients, None for none. Raises ConfigError
    with what is wrong.
    """
    tried = [(setting, path, _try(path)) for setting, path in _named(config)]
    errors = [f"{setting}: '{path}' cannot be read: {error.strerror}" for setting, path, error in tried if error]
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


def _named(config: Config) -> Iterator[tuple[str, str]]:
    tls, redis = config.server.tls, config.cache.redis
    if tls is not None:
        yield "server.tls.cert", tls.cert
        yield "server.tls.key", tls.key
        if tls.client_ca is not None:
            yield "server.tls.client_ca", tls.client_ca
    for name, provider in config.providers.items():
        if provider.ca_file is not None and provider.base_url.startswith("https:"):
            yield f"providers.{name}.ca_file", provider.ca_file
    if redis is not None and redis.ca_file is not None:
        yield "cache.redis.ca_file", redis.ca_file


def _try(path: str) -> OSError | None:
    try:
        with Path(path).open("rb"):
            return None
    except OSError as error:
        return error
