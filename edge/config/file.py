"""Reads a configuration file: YAML, TOML or JSON, references resolved, every error at once with its path and line.

How plain data becomes settings: `edge.config.walk`.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge.config.keys_file import KeysFile
from edge.config.model import Config, Key, Provider, Secret
from edge.config.notes import notes
from edge.config.paths import PathKey, dotted
from edge.config.rules import Problem, problems, the_base_url
from edge.config.walk import Walk, secrets_of
from edge.config.words import json_words

if TYPE_CHECKING:
    from edge.config.yaml import Lines

__all__ = [
    "ConfigError",
    "Reading",
    "from_environment",
    "load",
    "parse",
    "read",
    "read_text",
    "renewed",
    "resolve",
    "watched",
]

Adjust = Callable[[Config], Config]
NOTES = 50
"""So many are told where a configuration is served: a hundred thousand keys may have one each."""


def unchanged(config: Config) -> Config:
    return config


class ConfigError(Exception):
    """``errors`` has one line per problem, each with the path of the setting and, for YAML, its line."""

    def __init__(self, source: str, errors: list[str]) -> None:
        self.source = source
        self.errors = errors
        super().__init__("\n".join([f"{source}: {len(errors)} problem{'s' if len(errors) != 1 else ''}", *errors]))


class Reading(msgspec.Struct, frozen=True):
    """What a file says: ``notes`` are of what is allowed, and hardly meant. The last ``issued`` keys are those of
    ``auth.keys_file``. It says what all files said at ``begun``, by the wall clock, or later.
    """

    config: Config
    notes: list[str]
    issued: int = 0
    begun: float = 0.0


def resolve(
    path: str | None,
    environ: Mapping[str, str] | None = None,
    *,
    insecure: bool = False,
    adjust: Adjust = unchanged,
) -> Reading:
    """The configuration to serve with: the file `path`, else the file EDGE_CONFIG names, else the environment's keys;
    with the first of its notes.

    `adjust` makes of what was read what the rules are to be applied to, such as another address. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get("EDGE_CONFIG") or None
    if path is not None:
        return read(path, environ, insecure=insecure, adjust=adjust, most=NOTES)
    config = adjust(from_environment(environ))
    if not config.providers:
        raise ConfigError(
            "no configuration",
            ["set OPENAI_API_KEY or ANTHROPIC_API_KEY, name a file with -c, or try 'edge demo', which needs no key"],
        )
    found = problems(config, insecure=insecure)
    if found:
        raise ConfigError("environment", [_of_environment(where, what) for where, what in found])
    return Reading(_with_base_urls(config), [_of_environment(where, what) for where, what in notes(config)])


def from_environment(environ: Mapping[str, str]) -> Config:
    """The configuration without a file: a provider for each of OPENAI_API_KEY and ANTHROPIC_API_KEY.

    To ``ANTHROPIC_BASE_URL`` ``/v1`` is appended when absent, because its SDK reads the variable so. An empty variable
    counts as unset; white space around a value is none of it.
    """
    providers: dict[str, Provider] = {}
    if key := environ.get("OPENAI_API_KEY", "").strip():
        base = environ.get("OPENAI_BASE_URL", "").strip() or "https://api.openai.com/v1"
        providers["openai"] = Provider(dialect="openai", base_url=the_base_url(base), api_keys=[Secret(key)])
    if key := environ.get("ANTHROPIC_API_KEY", "").strip():
        base = the_base_url(environ.get("ANTHROPIC_BASE_URL", "").strip() or "https://api.anthropic.com/v1")
        if not base.endswith("/v1"):
            base += "/v1"
        providers["anthropic"] = Provider(dialect="anthropic", base_url=base, api_keys=[Secret(key)])
    return Config(providers=providers)


def _of_environment(where: PathKey, what: str) -> str:
    """A problem with what the variables say, by their names."""
    variables = {"api_keys": "API_KEY", "base_url": "BASE_URL"}
    if len(where) > 2 and where[0] == "providers" and where[2] in variables:
        return f"{str(where[1]).upper()}_{variables[str(where[2])]}: {what}"
    return f"{dotted(where)}: {what}"


def load(
    path: str,
    environ: Mapping[str, str] | None = None,
    *,
    insecure: bool = False,
    adjust: Adjust = unchanged,
) -> Config:
    """Read one file. Raises ConfigError, also for a file that is missing or cannot be read."""
    return parse(read_text(path), path, os.environ if environ is None else environ, insecure=insecure, adjust=adjust)


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """What is made while a file is read is needed until it has been: looking for garbage takes longer than reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_nothing_collected()
def read(
    path: str,
    environ: Mapping[str, str] | None = None,
    *,
    secrets: bool = True,
    insecure: bool = False,
    issued: bool = True,
    adjust: Adjust = unchanged,
    most: int | None = None,
) -> Reading:
    """Read one file, and look for what is hardly meant: all of it, or the first so many notes. Without `secrets`, those
    that are not here are taken for granted; without `issued`, the keys file is not read. Raises ConfigError.
    """
    begun = time.time()
    walk = Walk(os.environ if environ is None else environ, secrets=secrets)
    config, node, count = _parse(walk, read_text(path), path, insecure=insecure, adjust=adjust, issued=issued)
    told = {where for where, _ in walk.notes}
    said = itertools.chain(walk.notes, ((where, what) for where, what in notes(config) if where not in told))
    lines = _lines(node, list(itertools.islice(said, most)), _of_keys_file(config, count))
    return Reading(_with_base_urls(config), lines, count, begun)


@_nothing_collected()
def renewed(config: Config, own: list[Key]) -> Reading:
    """A configuration that was read before, with what the secrets' files and the keys' file say now: nothing else is
    read again. `own` are the keys that stand in the configuration itself. Raises ConfigError.
    """
    begun = time.time()
    walk = Walk({})
    fresh: Config = walk.reread(Config, config, ())
    fresh = msgspec.structs.replace(fresh, auth=msgspec.structs.replace(fresh.auth, keys=own))
    fresh, issued = _with_issued(walk, fresh)
    told = _of_keys_file(fresh, issued)
    # Whether the address may be open was decided before, and who is let in by keys is let in by nothing else.
    if found := [*walk.found, *problems(fresh, insecure=True)]:
        raise ConfigError("files of the configuration", _lines(None, found, told))
    return Reading(fresh, [], issued, begun)


def watched(config: Config) -> list[str]:
    """The files that a configuration names and that are read again when they have changed."""
    files = [] if config.auth.keys_file is None else [config.auth.keys_file]
    if config.auth.jwt is not None and config.auth.jwt.jwks_file is not None:
        files.append(config.auth.jwt.jwks_file)
    if config.server.tls is not None:
        tls = config.server.tls
        files += [tls.cert, tls.key, *([] if tls.client_ca is None else [tls.client_ca])]
    files += [secret.file for secret in secrets_of(Config, config) if secret.file]
    return list(dict.fromkeys(files))


def _with_issued(walk: Walk, config: Config) -> tuple[Config, int]:
    """With the keys of its keys file behind its own, and how many those are."""
    path = config.auth.keys_file
    if path is None:
        return config, 0
    try:
        data = msgspec.json.decode(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else json_words(error)
        walk.wrong(str, ("auth", "keys_file"), f"'{path}' cannot be read: {reason}")
        return config, 0
    inner = Walk({})
    issued: list[Key] = inner.struct(KeysFile, data, ()).keys if isinstance(data, dict) else []
    if not isinstance(data, dict):
        inner.wrong(str, (), 'must be a mapping, as in {"keys": [...]}')
    own = len(config.auth.keys)
    for where, what in inner.found:
        behind = ("auth", "keys", own + int(where[1]), *where[2:]) if len(where) > 1 else ("auth", "keys_file")
        walk.wrong(str, behind, what)
    auth = msgspec.structs.replace(config.auth, keys=[*config.auth.keys, *issued])
    return msgspec.structs.replace(config, auth=auth), len(issued)


def _of_keys_file(config: Config, issued: int) -> Callable[[PathKey], str]:
    """What tells where a problem is, if that is in the keys file; "" for elsewhere."""
    own = len(config.auth.keys) - issued

    def told(where: PathKey) -> str:
        if where[:2] != ("auth", "keys") or len(where) < 3 or not isinstance(where[2], int) or where[2] < own:
            return ""
        return f"{config.auth.keys_file}: {dotted(('keys', where[2] - own, *where[3:]))}"

    return told


def read_text(path: str) -> str:
    """Raises ConfigError for a file that is missing or cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name or its content is no text in UTF-8"
        raise ConfigError(path, [f"cannot be read: {reason}"]) from None


def parse(
    text: str,
    source: str,
    environ: Mapping[str, str],
    *,
    insecure: bool = False,
    adjust: Adjust = unchanged,
) -> Config:
    """Read a configuration from `text`; the ending of `source` chooses .toml, .json, or else YAML.

    Raises ConfigError.
    """
    config, _, _ = _parse(Walk(environ), text, source, insecure=insecure, adjust=adjust)
    return _with_base_urls(config)


@_nothing_collected()
def _parse(
    walk: Walk, text: str, source: str, *, insecure: bool = False, adjust: Adjust = unchanged, issued: bool = True
) -> tuple[Config, Lines | None, int]:
    """The configuration as it is written, what knows its lines, and how many of its keys are those of its keys file.
    Without `issued`, that is not read. Raises ConfigError with all that is wrong.
    """
    data, node, errors = _read(text, source)
    if data is None:
        raise ConfigError(source, errors or ["is empty"])
    config: Config | None = walk.struct(Config, data, ())
    count = 0
    if config is not None and issued:
        config, count = _with_issued(walk, config)
    found = walk.found
    if config is not None:
        # The rules are applied to what there is, with something in place of what is wrong; of that nothing is told.
        config = adjust(config)
        found = found + [
            (where, what) for where, what in problems(config, insecure=insecure) if not walk.is_broken(where)
        ]
    if found or errors or config is None:
        told = _of_keys_file(config, count) if config is not None else _nowhere
        raise ConfigError(source, [*errors, *_lines(node, found, told)])
    return config, node, count


def _with_base_urls(config: Config) -> Config:
    """With base URLs in the one form that is used from here on."""
    providers = {
        name: msgspec.structs.replace(provider, base_url=the_base_url(provider.base_url))
        for name, provider in config.providers.items()
    }
    return msgspec.structs.replace(config, providers=providers)


def _read(text: str, source: str) -> tuple[Any, Lines | None, list[str]]:
    """The file's data, the nodes that have its lines (YAML only), and what is wrong with its syntax."""
    try:
        if source.endswith(".toml"):
            return tomllib.loads(text), None, []
        if source.endswith(".json"):
            return json.loads(text, object_pairs_hook=_no_duplicates), None, []
        from edge.config.yaml import read_yaml  # where nothing is read by it, it would be in every worker's memory

        return read_yaml(text)
    except ValueError as error:
        return None, None, [json_words(error)]
    except RecursionError:
        return None, None, ["is nested too deeply, or refers to itself"]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' appears twice")
    return data


def _nowhere(_: PathKey) -> str:
    return ""


def _lines(node: Lines | None, found: list[Problem], elsewhere: Callable[[PathKey], str]) -> list[str]:
    """For people: what was found, where, in the order of the file; last what is in another, as `elsewhere` tells."""
    others = [f"{place}: {what}" for path, what in found if (place := elsewhere(path))]
    found = [(path, what) for path, what in found if not elsewhere(path)]
    if node is None:
        return [f"{dotted(path)}: {what}" for path, what in found] + others
    from edge.config.yaml import line_of

    placed = sorted(((line_of(node, path), path, what) for path, what in found), key=lambda each: each[0])
    return [f"line {line}: {dotted(path)}: {what}" for line, path, what in placed] + others
