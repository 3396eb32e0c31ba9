"""Reads a configuration file: YAML, TOML or JSON, references resolved, every error at once with its path and line.

msgspec stops at the first error, so the structs' type information is walked here and only the leaves are converted
by msgspec.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from edge.config.model import Config, Provider, Secret, Settings
from edge.config.notes import NOT_REPLACED, UNEXPANDED, notes
from edge.config.rules import UNKNOWN, Problem, problems, the_base_url
from edge.config.words import explain, hints_of, json_words, meant, unknown_key
from edge.config.yaml import Lines, PathKey, dotted, line_of, read_yaml

__all__ = ["ConfigError", "Reading", "from_environment", "load", "parse", "read", "read_text", "resolve"]

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}")
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
    """What a file says: ``notes`` are of what is allowed, and hardly meant."""

    config: Config
    notes: list[str]


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
    adjust: Adjust = unchanged,
    most: int | None = None,
) -> Reading:
    """Read one file, and look for what is hardly meant: all of it, or the first so many notes. Without `secrets`, those
    that are not here are taken for granted. Raises ConfigError.
    """
    walk = _Walk(os.environ if environ is None else environ, secrets=secrets)
    config, node = _parse(walk, read_text(path), path, insecure=insecure, adjust=adjust)
    told = {where for where, _ in walk.notes}
    said = itertools.chain(walk.notes, ((where, what) for where, what in notes(config) if where not in told))
    return Reading(_with_base_urls(config), _lines(node, list(itertools.islice(said, most))))


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
    config, _ = _parse(_Walk(environ), text, source, insecure=insecure, adjust=adjust)
    return _with_base_urls(config)


@_nothing_collected()
def _parse(
    walk: _Walk, text: str, source: str, *, insecure: bool = False, adjust: Adjust = unchanged
) -> tuple[Config, Lines | None]:
    """The configuration as it is written, and what knows its lines. Raises ConfigError with all that is wrong."""
    data, node, errors = _read(text, source)
    if data is None:
        raise ConfigError(source, errors or ["is empty"])
    config: Config | None = walk.struct(Config, data, ())
    found = walk.found
    if config is not None:
        # The rules are applied to what there is, with something in place of what is wrong; of that nothing is told.
        config = adjust(config)
        found = found + [
            (where, what) for where, what in problems(config, insecure=insecure) if not walk.is_broken(where)
        ]
    if found or errors or config is None:
        raise ConfigError(source, [*errors, *_lines(node, found)])
    return config, node


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
        return read_yaml(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        return None, None, [json_words(error)]
    except RecursionError:
        return None, None, ["is nested too deeply, or refers to itself"]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' appears twice")
    return data


def _lines(node: Lines | None, found: list[Problem]) -> list[str]:
    """For people: what was found, where, in the order of the file."""
    if node is None:
        return [f"{dotted(path)}: {what}" for path, what in found]
    placed = sorted(((line_of(node, path), path, what) for path, what in found), key=lambda each: each[0])
    return [f"line {line}: {dotted(path)}: {what}" for line, path, what in placed]


class _MissingError(Exception):
    """References name environment variables that are not set."""


class _Walk:
    """Converts plain data into the settings structs, leaf by leaf, collecting what is wrong, and what is odd.

    Where something is wrong, or missing, something else of its type is put, so that the rules can be applied to the
    rest; `is_broken` tells of it.
    """

    def __init__(self, environ: Mapping[str, str], *, secrets: bool = True) -> None:
        """Without `secrets`, what is missing in the values of secrets and of headers is no fault."""
        self.environ = environ
        self.secrets = secrets
        self.found: list[Problem] = []
        self.notes: list[Problem] = []
        self.broken: set[PathKey] = set()

    def is_broken(self, path: PathKey) -> bool:
        """Whether a path leads to something, or into it, that stands in for what is wrong."""
        if path == ("server", "host") and any(where[:1] == ("auth",) for where in self.broken):
            return True  # whether an open address is safe depends on the keys
        return any(path[:size] in self.broken for size in range(len(path) + 1))

    def wrong(self, hint: Any, path: PathKey, what: str) -> Any:
        """Note that; what to put in its place."""
        self.found.append((path, what))
        self.broken.add(path)
        return _stand_in(hint)

    def struct(self, kind: type[Settings], data: Any, path: PathKey) -> Any:
        if not isinstance(data, dict):
            return self.wrong(kind, path, explain(kind, data))
        hints = hints_of(kind)
        for key in data:
            if key not in hints:
                self.found.append(((*path, str(key)), unknown_key(kind, str(key), dotted(path) if path else "")))
        values = {
            field.name: self.value(hints[field.name], data[field.name], (*path, field.name))
            for field in msgspec.structs.fields(kind)
            if field.name in data
        }
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in data:
                self.found.append((path, f"the key '{field.name}' is missing"))
                self.broken.add((*path, field.name))
                values[field.name] = _stand_in(hints[field.name])
        return kind(**values)

    def value(self, hint: Any, data: Any, path: PathKey) -> Any:
        hint = meant(hint, data)
        if isinstance(data, dict | list) and not _has_secret(hint) and _is_literal(data):
            try:
                return msgspec.convert(data, hint)
            except msgspec.ValidationError:
                pass  # somewhere in it; looking at each part finds all that is wrong
        if isinstance(hint, type) and issubclass(hint, Settings):
            return self.struct(hint, data, path)
        base = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
        if get_origin(base) is list and isinstance(data, list):
            (item,) = get_args(base)
            values = [self.value(item, part, (*path, index)) for index, part in enumerate(data)]
            self.length(hint, data, path)
            return values
        if get_origin(base) is dict and isinstance(data, dict):
            key_hint, item = get_args(base)
            made = {}
            for key, part in data.items():
                where = (*path, str(key))
                self.leaf(key_hint, key, where)
                made[str(key)] = self.value(item, part, where)
            return made
        options = get_args(hint)
        if type(None) in options:
            if data is None:
                return None
            (inner,) = [option for option in options if option is not type(None)]
            return self.value(inner, data, path)
        return self.leaf(hint, data, path)

    def length(self, hint: Any, data: list[Any], path: PathKey) -> None:
        """Are there as many as there may be?"""
        try:
            msgspec.convert([None] * len(data), _any_items(hint))
        except msgspec.ValidationError:
            self.wrong(hint, path, explain(hint, data))

    def leaf(self, hint: Any, data: Any, path: PathKey) -> Any:
        if not isinstance(data, str):
            substituted = False
            if hint is Secret:
                return self.wrong(hint, path, explain(hint, data))
        else:
            lenient = not self.secrets and (hint is Secret or "headers" in path)
            try:
                data, substituted = self.references(data, path, lenient=lenient, secret=hint is Secret)
                if hint is Secret:
                    return Secret(self.secret(data, lenient=lenient))
            except _MissingError as error:
                return self.wrong(hint, path, str(error))
            except OSError as error:
                return self.wrong(hint, path, f"the secret file cannot be read: {error.strerror}")
            except UnicodeDecodeError:
                return self.wrong(hint, path, "the secret file is not UTF-8")
        try:
            return msgspec.convert(data, hint, strict=not substituted)
        except msgspec.ValidationError:
            return self.wrong(hint, path, explain(hint, data, substituted=substituted))

    def references(self, text: str, path: PathKey, *, lenient: bool, secret: bool) -> tuple[str, bool]:
        """`text` with ``${NAME}`` and ``${NAME:-default}`` replaced, and whether there was one.

        An empty variable counts as unset, and white space around a value is none of it: files and shells leave line
        ends. Raises _MissingError, but for one who is `lenient`.
        """
        missing: list[str] = []

        def replace(match: re.Match[str]) -> str:
            value = self.environ.get(match[1], "").strip()
            if value:
                return value
            if match[3] is None:
                missing.append(match[1])
                return UNKNOWN
            if secret and match[3] and "api_keys" in path:
                self.notes.append((path, f"{match[1]} is not set: what stands behind ':-' is sent as the key"))
            return match[3]

        replaced = REFERENCE.sub(replace, text)
        if missing and not lenient:
            raise _MissingError(
                f"the environment variable {missing[0]} is not set"
                if len(missing) == 1
                else f"the environment variables {', '.join(dict.fromkeys(missing))} are not set"
            )
        if UNEXPANDED.search(replaced):
            self.notes.append((path, NOT_REPLACED))
        return replaced, replaced != text

    @staticmethod
    def secret(text: str, *, lenient: bool) -> str:
        """The secret itself, or the content of the file that ``file:/path`` names; without white space around it, which
        shells and files leave there. Raises OSError, UnicodeDecodeError.
        """
        text = text.strip()
        if not text.startswith("file:"):
            return text
        if lenient and not Path(text[5:]).exists():
            return UNKNOWN
        return Path(text[5:]).read_text(encoding="utf-8-sig").strip()


def _stand_in(hint: Any) -> Any:
    """Some value of a type."""
    if type(None) in get_args(hint):
        return None
    base = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    if isinstance(base, type) and issubclass(base, Settings):
        needed = (field.name for field in msgspec.structs.fields(base) if field.required)
        return base(**{name: _stand_in(hints_of(base)[name]) for name in needed})
    if base is Secret:
        return Secret(UNKNOWN)
    if get_origin(base) is Literal:
        return get_args(base)[0]
    return (get_origin(base) or base)()


@cache
def _has_secret(hint: Any) -> bool:
    """Whether a value of this type has one in it: it is more than it says."""
    if isinstance(hint, type) and issubclass(hint, Settings):
        return any(map(_has_secret, hints_of(hint).values()))
    return hint is Secret or any(map(_has_secret, get_args(hint)))


def _is_literal(data: Any) -> bool:
    """Whether there is no reference in it."""
    try:
        return b"${" not in msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError):
        return False


def _any_items(hint: Any) -> Any:
    """A list's type with its length rules, but any items: these have been converted one by one."""
    if hasattr(hint, "__metadata__"):
        meta = hint.__metadata__[0]
        return Annotated[list[Any], meta]
    return list[Any]
