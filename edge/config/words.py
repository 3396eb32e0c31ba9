"""What is wrong with a configuration, in sentences: for people who write one, not for those who know its parser.

Free text is never repeated: it may be a key that stands in the wrong place.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from edge.config.capabilities import Settings
from edge.config.model import Config, Secret

__all__ = ["explain", "hints_of", "inner_of", "json_words", "settings_of", "unknown_key", "yaml_words"]

YAML: tuple[tuple[str, str], ...] = (
    (r"'\\t' that cannot start", "there is a tab: YAML is indented with spaces"),
    (r"unexpected end of stream", "a quotation mark that opens here is never closed"),
    (
        r"expected '?,'? or '?[\]}]",
        "a bracket that opens here is not closed, a comma is missing, or a ${NAME} needs quotes",
    ),
    (r"mapping values are not allowed", "a ':' where none can be: mend the indentation, or put the text in quotes"),
    (r"found '<scalar>'", "text behind a closing quotation mark: put the whole value in quotes of the other kind"),
    (r"<block end>", "the indentation does not fit the lines above"),
    (r"could not find expected ':'", "a line without ':': a name needs one behind it"),
    (r"sequence entries are not allowed", "a list begins on a line of its own, with '- ', or in square brackets"),
    (r"alias|alphabetic or numeric", "text that begins with * or & needs quotes"),
    (r"unknown escape", r"a backslash in double quotes: write \\, or use single quotes"),
    (r"that cannot start any token", "text that begins with @, % or a backquote needs quotes"),
    (r"constructor for the tag", "a word that begins with ! has no meaning here: put it in quotes, or leave it out"),
    (r"another document|incompatible", "the file holds more than one document: keep one, without '---' inside"),
    (r"expected the node content", "a closing bracket without an opening one"),
    (r"merging", "'<<' merges a mapping: name one with '*'"),
    (r"unhashable key|a key is not a word", "a name to the left of ':' must be a word"),
    (r"chomping", "text that begins with > or | needs quotes"),
)
"""What PyYAML says, by pattern, and what it means."""
BEGINS = re.compile(r"unexpected end of stream|or '?[\]}]")
"""Complaints of which the line is where something was opened."""

SYNONYMS = {
    "apikey": "api_keys",
    "apibase": "base_url",
    "url": "base_url",
    "endpoint": "base_url",
    "type": "dialect",
    "kind": "dialect",
    "api": "dialect",
    "rpm": "requests_per_minute",
    "maxparallelrequests": "concurrency",
    "maxconcurrency": "concurrency",
    "name": "id",
    "key": "digests",
    "hash": "digests",
    "model": "to",
    "target": "to",
    "targets": "upstreams",
    "timeout": "total_s",
    "ttl": "ttl_s",
    "password": "url",
    "host": "url",
    "loglevel": "level",
    "allowedmodels": "models",
}
"""What other programs call a setting, without its case and punctuation."""
FOREIGN = {
    "model_list": "this is LiteLLM's form: here 'providers' has the addresses and keys, and 'models' the names",
    "litellm_settings": "this is LiteLLM's form: here 'cache', 'resilience' and 'telemetry' have its settings",
    "router_settings": "this is LiteLLM's form: here 'models' and 'resilience' have its settings",
    "general_settings": "this is LiteLLM's form: here 'server' and 'auth' have its settings",
    "environment_variables": "this is LiteLLM's form: here ${NAME} takes a value from the environment",
}
SWITCHES = {"on", "off", "yes", "no", "y", "n"}


def yaml_words(error: Any) -> tuple[str, int | None]:
    """What a MarkedYAMLError of PyYAML means, and the line that it is about, from 1."""
    complaint = f"{error.context or ''}; {error.problem or ''}"
    mark = error.problem_mark or error.context_mark
    if error.context_mark is not None and BEGINS.search(complaint):
        mark = error.context_mark
    words = next((words for pattern, words in YAML if re.search(pattern, complaint)), "this is not YAML")
    return words, mark.line + 1 if mark is not None else None


def json_words(error: Exception) -> str:
    """What is wrong with JSON or TOML: its own words, with the line in front."""
    text = str(error)
    match = re.search(r"(?:\(at |: )line (\d+),? column \d+(?: \(char \d+\))?\)?", text)
    text = text.replace("(at end of document)", "at its end")
    if match is None:
        return _begun_small(text)
    complaint = text.replace(match[0], "").strip()
    return f"line {match[1]}: {_begun_small(complaint)}"


def _begun_small(text: str) -> str:
    """For the middle of a sentence; a word of capitals stays."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


@cache
def hints_of(kind: type[Settings]) -> dict[str, Any]:
    """The types of a section's settings, by name."""
    return get_type_hints(kind, include_extras=True)


def settings_of(kind: type[Settings] = Config, prefix: str = "") -> Iterator[str]:
    """Every setting, as ``providers.NAME.base_url``."""
    for name in hints_of(kind):
        inner, below = inner_of(kind, name, prefix + name)
        if inner is None:
            yield below
        else:
            yield from settings_of(inner, below)


def inner_of(kind: type[Settings], name: str, path: str) -> tuple[type[Settings] | None, str]:
    """The section that the setting `name` of `kind` has in it, if any, and how the paths of its settings begin."""
    inner, place = _inner(hints_of(kind)[name])
    if inner is None:
        return None, path
    names = {"models": ".ALIAS.", "providers.NAME.prices": ".MODEL.", "providers.NAME.capabilities": ".MODEL."}
    return inner, path + {"list": "[].", "dict": names.get(path, ".NAME.")}.get(place, ".")


def meant(hint: Any, data: Any) -> Any:
    """Of a type that is a list or a section, the one that `data` is to be."""
    options = [part for part in get_args(hint) if part is not type(None)]
    if len(options) < 2 or get_origin(hint) not in (Union, UnionType):
        return hint
    lists = [part for part in options if get_origin(part) is list]
    return next((part for part in options if part not in lists), hint) if isinstance(data, dict) else lists[0]


def _inner(hint: Any) -> tuple[type[Settings] | None, str]:
    """The section in a setting's type, and what it is in: list, dict or nothing."""
    if get_origin(hint) in (Union, UnionType):
        found = [_inner(part) for part in get_args(hint)]
        return next((each for each in found if each[0] is not None), found[0])
    place = ""
    for part in _parts(hint):
        if part in (list, dict):
            place = part.__name__
        if isinstance(part, type) and issubclass(part, Settings):
            return part, place
    return None, place


def _parts(hint: Any) -> Iterator[Any]:
    yield get_origin(hint) or hint
    for part in get_args(hint):
        yield from _parts(part)


def unknown_key(kind: type[Settings], key: str, place: str) -> str:
    """What to say of a key that `kind`, the section at `place`, has not."""
    known = hints_of(kind)
    if not place and key in FOREIGN:
        return f"unknown key: {FOREIGN[key]}"
    plain = _plain(key)
    close = next((name for name in known if _plain(name) == plain), None)
    if close is None and SYNONYMS.get(plain) in known:
        close = SYNONYMS[plain]
    if close is None:
        close = next(iter(difflib.get_close_matches(key, known, n=1)), None)
    if close is not None:
        return f"unknown key, did you mean {close}?"
    homes = [".".join(parts[: parts.index(key)]) for parts in map(_segments, settings_of()) if key in parts[1:]]
    if homes:
        return f"unknown key here; it belongs below {' or '.join(dict.fromkeys(homes))}: mend the indentation"
    return "unknown key"


def _segments(path: str) -> list[str]:
    return path.replace("[]", "").split(".")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def explain(hint: Any, data: Any, *, substituted: bool = False) -> str:
    """Why `data` is no `hint`. `substituted`: it comes from the environment."""
    kind, meta = _taken_apart(hint)
    if get_origin(kind) is Literal:
        words = get_args(kind)
        close = difflib.get_close_matches(str(data), words, n=1)
        return f"must be one of {', '.join(words)}{f', did you mean {close[0]}?' if close else ''}"
    if isinstance(data, list) and get_origin(kind) is list:
        if not data:
            return "is empty: at least one is needed"
        return f"has {len(data)} parts, and may have {meta.max_length}" if meta is not None else "is not understood"
    got = _got(kind, data, substituted)
    return f"must be {_wanted(kind, meta)}{f' ({got})' if got else ''}"


def _taken_apart(hint: Any) -> tuple[Any, msgspec.Meta | None]:
    """A type without None, and its bounds."""
    if type(None) in get_args(hint) or get_origin(hint) is Union:
        (hint,) = [part for part in get_args(hint) if part is not type(None)]
    if hasattr(hint, "__metadata__"):
        return get_args(hint)[0], hint.__metadata__[0]
    return hint, None


def _wanted(kind: Any, meta: msgspec.Meta | None) -> str:
    if kind is bool:
        return "true or false"
    if kind is datetime.datetime and meta is not None and meta.description:
        return meta.description
    if kind is int or kind is float:
        return ("a whole number" if kind is int else "a number") + _range(meta)
    if kind is str:
        return meta.description if meta is not None and meta.description else "text"
    if kind is Secret:
        return "text: the secret, ${NAME} or file:/path"
    if get_origin(kind) is list:
        return "a list"
    if get_origin(kind) is dict:
        return "a mapping, with a name and a ':' before each of its parts"
    needed = [each.name for each in msgspec.structs.fields(kind) if each.required]
    return f"a mapping, as in {{{', '.join(f'{name}: ...' for name in needed)}}}" if needed else "a mapping"


def _range(meta: msgspec.Meta | None) -> str:
    if meta is None:
        return ""
    if meta.gt is not None:
        most = f", {_number(meta.le)} at most" if meta.le is not None else ""
        return f" above {_number(meta.gt)}{most}"
    if meta.ge is not None and meta.le is not None:
        return f" from {_number(meta.ge)} to {_number(meta.le)}"
    return f" of at least {_number(meta.ge)}" if meta.ge is not None else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _got(kind: Any, data: Any, substituted: bool) -> str:
    """What there is instead, as far as it may be told."""
    text_wanted = kind in (str, Secret)
    if data is None:
        return "it is empty: what belongs to it is indented below it" if not text_wanted else "it is empty"
    if isinstance(data, bool):
        return f"got {str(data).lower()}{': put it in quotes' if text_wanted else ''}"
    if isinstance(data, int | float):
        return "" if substituted else f"got {str(data)[:40]}{': put it in quotes' if text_wanted else ''}"
    if isinstance(data, datetime.datetime) and kind is datetime.datetime:
        return "it has no zone: Z is UTC"
    if isinstance(data, datetime.date):
        return "got a date: put it in quotes"
    if isinstance(data, dict):
        return "got a mapping: put '- ' before each part" if get_origin(kind) is list else "got a mapping"
    if isinstance(data, list):
        return "got a list"
    if substituted and str(data).startswith("tcp://"):
        return (
            "the variable holds an address, as Kubernetes sets it for a Service of that name: "
            "take another variable, or 'enableServiceLinks: false'"
        )
    if substituted:
        return "got text from the environment"
    if kind is bool and str(data).lower() in SWITCHES:
        return f"got the word {str(data).lower()}"
    if kind in (int, float):
        number = re.fullmatch(r"\s*[0-9_.,]+\s*", str(data)) is not None
        return "got a number in quotes: leave them out" if number else "got text"
    if get_origin(kind) is list:
        return "got a single value: put it in square brackets"
    return "" if text_wanted else "got text"
