"""Plain data becomes settings, with references to the environment and to files resolved, and every error at once.

msgspec stops at the first error, so the structs' type information is walked here and only the leaves are converted
by msgspec.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from edge.config.capabilities import Settings
from edge.config.model import Secret
from edge.config.notes import NOT_REPLACED, UNEXPANDED
from edge.config.paths import PathKey, dotted
from edge.config.rules import UNKNOWN, Problem
from edge.config.words import explain, hints_of, meant, unknown_key

__all__ = ["Walk", "secrets_of"]

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}")
NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What no file's name has, nor anything that is sent: NUL, and what is left of a character that JSON has cut in two."""


class _MissingError(Exception):
    """References name environment variables that are not set."""


class Walk:
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
        if isinstance(data, dict | list) and not has_secret(hint) and _is_literal(data):
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
        elif NO_TEXT.search(data):
            return self.wrong(hint, path, "has a NUL in it, or half of a character")
        else:
            lenient = not self.secrets and (hint is Secret or "headers" in path)
            try:
                data, substituted = self.references(data, path, lenient=lenient, secret=hint is Secret)
                if hint is Secret:
                    return self.secret(data, lenient=lenient)
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
                self.notes.append((path, f"{match[1]} is not set: the default after ':-' is sent as the key"))
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
    def secret(text: str, *, lenient: bool) -> Secret:
        """The secret itself, or the content of the file that ``file:/path`` names; without white space around it, which
        shells and files leave there. Raises OSError, UnicodeDecodeError.
        """
        text = text.strip()
        if not text.startswith("file:"):
            return Secret(text)
        if lenient and not Path(text[5:]).exists():
            return Secret(UNKNOWN)
        return Secret(Path(text[5:]).read_text(encoding="utf-8-sig").strip(), text[5:])

    def reread(self, hint: Any, value: Any, path: PathKey) -> Any:
        """A value of this type, with the secrets in it that are from files as the files have them now."""
        if isinstance(value, Secret):
            return self.leaf(Secret, f"file:{value.file}", path) if value.file else value
        if not has_secret(hint):
            return value
        if isinstance(value, Settings):
            parts = {
                name: self.reread(inner, getattr(value, name), (*path, name))
                for name, inner in hints_of(type(value)).items()
            }
            return msgspec.structs.replace(value, **parts)
        if isinstance(value, list):
            return [self.reread(hint, part, (*path, index)) for index, part in enumerate(value)]
        if isinstance(value, dict):
            return {name: self.reread(hint, part, (*path, name)) for name, part in value.items()}
        return value


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
    if base is datetime:
        return None  # wherever there is a time, there need not be one
    if get_origin(base) is Literal:
        return get_args(base)[0]
    return (get_origin(base) or base)()


@cache
def has_secret(hint: Any) -> bool:
    """Whether a value of this type has one in it: it is more than it says."""
    if isinstance(hint, type) and issubclass(hint, Settings):
        return any(map(has_secret, hints_of(hint).values()))
    return hint is Secret or any(map(has_secret, get_args(hint)))


def _is_literal(data: Any) -> bool:
    """Whether there is no reference in it, nor what is no text."""
    try:
        data = msgspec.json.encode(data)
        return b"${" not in data and b"\\u0000" not in data
    except (TypeError, ValueError, RecursionError):
        return False


def _any_items(hint: Any) -> Any:
    """A list's type with its length rules, but any items: these have been converted one by one."""
    if hasattr(hint, "__metadata__"):
        meta = hint.__metadata__[0]
        return Annotated[list[Any], meta]
    return list[Any]


def secrets_of(hint: Any, value: Any) -> Iterator[Secret]:
    """Those in a value of this type."""
    if isinstance(value, Secret):
        yield value
    elif not has_secret(hint):
        return
    elif isinstance(value, Settings):
        for name, inner in hints_of(type(value)).items():
            yield from secrets_of(inner, getattr(value, name))
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from secrets_of(hint, part)
