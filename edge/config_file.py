"""Reads a configuration file: YAML, TOML or JSON, references resolved, every error at once with its path and line.

msgspec stops at the first error, so the structs' type information is walked here and only the leaves are converted
by msgspec.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from edge.config import Config, Provider, Secret, Settings
from edge.config_rules import Problem, problems
from edge.config_yaml import Lines, PathKey, dotted, line_of, read_yaml

__all__ = ["ConfigError", "from_environment", "load", "parse", "resolve"]

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}")
Adjust = Callable[[Config], Config]


def unchanged(config: Config) -> Config:
    return config


class ConfigError(Exception):
    """``errors`` has one line per problem, each with the path of the setting and, for YAML, its line."""

    def __init__(self, source: str, errors: list[str]) -> None:
        self.source = source
        self.errors = errors
        super().__init__("\n".join([f"{source}: {len(errors)} problem{'s' if len(errors) != 1 else ''}", *errors]))


def resolve(
    path: str | None,
    environ: Mapping[str, str] | None = None,
    *,
    insecure: bool = False,
    adjust: Adjust = unchanged,
) -> Config:
    """The configuration to serve with: the file `path`, else the file EDGE_CONFIG names, else the environment's keys.

    `adjust` makes of what was read what the rules are to be applied to, such as another address. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get("EDGE_CONFIG") or None
    if path is not None:
        return load(path, environ, insecure=insecure, adjust=adjust)
    config = adjust(from_environment(dict(environ)))
    found = problems(config, insecure=insecure)
    if not config.providers:
        raise ConfigError(
            "no configuration",
            ["set OPENAI_API_KEY or ANTHROPIC_API_KEY, name a file with -c, or try 'edge demo', which needs no key"],
        )
    if found:
        raise ConfigError("environment", [_line(None, where, what) for where, what in found])
    return config


def from_environment(environ: dict[str, str]) -> Config:
    """The configuration without a file: a provider for each of OPENAI_API_KEY and ANTHROPIC_API_KEY.

    ``OPENAI_BASE_URL`` is used as it stands; to ``ANTHROPIC_BASE_URL`` ``/v1`` is appended when absent, because the two
    SDKs read these variables so. An empty variable counts as unset.
    """
    providers: dict[str, Provider] = {}
    if key := environ.get("OPENAI_API_KEY"):
        base = environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        providers["openai"] = Provider(dialect="openai", base_url=base.rstrip("/"), api_keys=[Secret(key)])
    if key := environ.get("ANTHROPIC_API_KEY"):
        base = (environ.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com/v1").rstrip("/")
        if not base.endswith("/v1"):
            base += "/v1"
        providers["anthropic"] = Provider(dialect="anthropic", base_url=base, api_keys=[Secret(key)])
    return Config(providers=providers)


def load(
    path: str,
    environ: Mapping[str, str] | None = None,
    *,
    insecure: bool = False,
    adjust: Adjust = unchanged,
) -> Config:
    """Read one file. Raises ConfigError, also for a file that is missing or cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name or its content is no text"
        raise ConfigError(path, [f"cannot be read: {reason}"]) from None
    return parse(text, path, os.environ if environ is None else environ, insecure=insecure, adjust=adjust)


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
    data, node, errors = _read(text, source)
    if errors:
        raise ConfigError(source, errors)
    walk = _Walk(environ)
    config: Config | None = walk.struct(Config, data, ())
    found = walk.found
    if not found and config is not None:
        config = adjust(config)
        found = problems(config, insecure=insecure)
    if found or config is None:
        raise ConfigError(source, [_line(node, where, what) for where, what in found])
    return config


def _read(text: str, source: str) -> tuple[Any, Lines | None, list[str]]:
    """The file's data, the nodes that have its lines (YAML only), and what is wrong with its syntax."""
    try:
        if source.endswith(".toml"):
            return tomllib.loads(text), None, []
        if source.endswith(".json"):
            return json.loads(text, object_pairs_hook=_no_duplicates), None, []
        return read_yaml(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        return None, None, [str(error)]
    except RecursionError:
        return None, None, ["is nested too deeply, or refers to itself"]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' appears twice")
    return data


def _line(node: Lines | None, path: PathKey, what: str) -> str:
    return f"line {line_of(node, path)}: {dotted(path)}: {what}" if node is not None else f"{dotted(path)}: {what}"


class _MissingError(Exception):
    """A reference names an environment variable that is not set."""


class _Walk:
    """Converts plain data into the settings structs, leaf by leaf, collecting what is wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.found: list[Problem] = []

    def struct(self, kind: type[Settings], data: Any, path: PathKey) -> Any:
        if not isinstance(data, dict):
            self.found.append((path, "must be a mapping"))
            return None
        before = len(self.found)
        hints = _hints(kind)
        for key in data:
            if key not in hints:
                close = difflib.get_close_matches(str(key), hints, n=1)
                self.found.append(((*path, str(key)), f"unknown key{f', did you mean {close[0]}?' if close else ''}"))
        values = {
            field.name: self.value(hints[field.name], data[field.name], (*path, field.name))
            for field in msgspec.structs.fields(kind)
            if field.name in data
        }
        self.found += [
            (path, f"the key '{field.name}' is missing")
            for field in msgspec.structs.fields(kind)
            if field.required and field.name not in data
        ]
        return kind(**values) if len(self.found) == before else None

    def value(self, hint: Any, data: Any, path: PathKey) -> Any:
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
            self.leaf(hint, [None] * len(data), path, lengths_only=True)
            return values
        if get_origin(base) is dict and isinstance(data, dict):
            key_hint, item = get_args(base)
            for key in data:
                self.leaf(key_hint, key, (*path, str(key)))
            return {key: self.value(item, part, (*path, str(key))) for key, part in data.items()}
        options = get_args(hint)
        if type(None) in options:
            if data is None:
                return None
            (inner,) = [option for option in options if option is not type(None)]
            return self.value(inner, data, path)
        return self.leaf(hint, data, path)

    def leaf(self, hint: Any, data: Any, path: PathKey, *, lengths_only: bool = False) -> Any:
        secret = hint is Secret
        try:
            if isinstance(data, str):
                data, substituted = self.references(data)
                if secret:
                    return Secret(self.secret(data))
            else:
                substituted = False
                if secret:
                    self.found.append((path, "must be a string"))
                    return None
            if lengths_only:
                hint = _any_items(hint)
            return msgspec.convert(data, hint, strict=not substituted)
        except _MissingError as error:
            self.found.append((path, str(error)))
        except OSError as error:
            self.found.append((path, f"the secret file cannot be read: {error.strerror}"))
        except UnicodeDecodeError:
            self.found.append((path, "the secret file is not UTF-8"))
        except msgspec.ValidationError as error:
            self.found.append((path, _explain(hint, data, str(error), substituted)))
        return None

    def references(self, text: str) -> tuple[str, bool]:
        """`text` with ``${NAME}`` and ``${NAME:-default}`` replaced, and whether there was one."""

        def replace(match: re.Match[str]) -> str:
            value = self.environ.get(match[1]) or match[3]
            if value is None:
                raise _MissingError(f"the environment variable {match[1]} is not set")
            return value

        replaced = REFERENCE.sub(replace, text)
        return replaced, replaced != text

    @staticmethod
    def secret(text: str) -> str:
        """The secret itself, or the content of the file that ``file:/path`` names, without its final line end."""
        if text.startswith("file:"):
            return Path(text[5:]).read_text(encoding="utf-8").rstrip("\r\n")
        return text


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def _has_secret(hint: Any) -> bool:
    """Whether a value of this type has one in it: it is more than it says."""
    if isinstance(hint, type) and issubclass(hint, Settings):
        return any(map(_has_secret, _hints(hint).values()))
    return hint is Secret or any(map(_has_secret, get_args(hint)))


def _is_literal(data: Any) -> bool:
    """Whether there is no reference in it."""
    try:
        return b"${" not in msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError):
        return False


def _explain(hint: Any, data: Any, complaint: str, substituted: bool) -> str:
    """Why `data` is no `hint`. Free text is never repeated: it may be a key that stands in the wrong place."""
    words = next((get_args(part) for part in (hint, *get_args(hint)) if get_origin(part) is Literal), ())
    if words:
        close = difflib.get_close_matches(str(data), words, n=1)
        return f"must be one of {', '.join(words)}{f', did you mean {close[0]}?' if close else ''}"
    shown = f" (got {str(data)[:40]})" if isinstance(data, int | float) and not substituted else ""
    return f"{complaint[0].lower()}{complaint[1:]}{shown}".replace("`array`", "`list`").replace("`str`", "`string`")


def _any_items(hint: Any) -> Any:
    """A list's type with its length rules, but any items: these have been converted one by one."""
    if hasattr(hint, "__metadata__"):
        meta = hint.__metadata__[0]
        return Annotated[list[Any], meta]
    return list[Any]
