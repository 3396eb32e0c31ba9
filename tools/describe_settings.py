"""``python tools/describe_settings.py``: the tables of docs/configuration.md, and edge/config/data/settings.json.

Which settings there are, what values they take and what their defaults are comes from `edge.config.model`. What a
setting means stands in the page, in the last cell of its row, and so does a default that is no value (``half of it``):
both are kept. `settings.json` has the meanings for ``edge schema``. A new setting gets a row without a meaning: write
that, and run this again.

A table is between ``<!-- settings: GROUP -->`` and ``<!-- end -->``. A setting is in the group that its path begins
with; if there are two, in the longer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from edge.config.capabilities import Settings
from edge.config.model import Config, Secret

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
TARGET = ROOT / "edge" / "config" / "data" / "settings.json"
BLOCK = re.compile(r"(<!-- settings: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
ROW = re.compile(r"^\| `([\w.\[\]]+)` \|(.*)\|$", re.MULTILINE)
SAME_AS_PROVIDERS = ("models.ALIAS.price", "models.ALIAS.capabilities", "models.ALIAS.upstreams[].capabilities")
"""Settings with others in them that are described once, with the providers."""
NAMED = {"models": "ALIAS", "providers.NAME.prices": "MODEL", "providers.NAME.capabilities": "MODEL"}
"""What the keys of a mapping are called, where they are no names."""


class Setting(NamedTuple):
    """``default`` is "" where there is none to be spelled: the page may have words for that."""

    path: str
    values: str
    default: str
    required: bool


def settings(kind: type[Settings] = Config, prefix: str = "") -> Iterator[Setting]:
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        path, hint = prefix + field.name, bare(hints[field.name])
        section = section_of(hint)
        if section is None or path in SAME_AS_PROVIDERS:
            required = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
            yield Setting(path, words(hints[field.name]), spelled(field.default), required)
        elif get_origin(hint) is list:
            yield from settings(section, f"{path}[].")
        elif get_origin(hint) is dict:
            yield from settings(section, f"{path}.{NAMED.get(path, 'NAME')}.")
        else:
            yield from settings(section, f"{path}.")


def bare(hint: Any) -> Any:
    """A type without its bounds, and without None beside it; of several, the one that has settings in it."""
    if get_origin(hint) is Annotated:
        return bare(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        parts = [bare(part) for part in get_args(hint) if part is not type(None)]
        return next((part for part in parts if section_of(part)), parts[0])
    return hint


def section_of(hint: Any) -> type[Settings] | None:
    """The settings that are in a value of this type, or in its items."""
    for part in (hint, *(bare(each) for each in get_args(hint))):
        if isinstance(part, type) and issubclass(part, Settings):
            return part
    return None


def words(hint: Any, meta: msgspec.Meta | None = None) -> str:
    """What values a type takes."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return words(parts[0], next((each for each in parts[1:] if isinstance(each, msgspec.Meta)), None))
    if origin in (Union, UnionType):
        return words(next(part for part in parts if part is not type(None)), meta)
    if origin is Literal:
        return ", ".join(f'`"{each}"`' if each == "" else f"`{each}`" for each in parts)
    if origin is list:
        return f"list of {words(parts[0])}"
    if origin is dict:
        return f"{words(parts[1])} by name"
    named = {bool: "`true`, `false`", str: "text", Secret: "secret", datetime: "time"}
    if hint in named:
        return named[hint]
    if isinstance(hint, type) and issubclass(hint, Settings):
        return "settings"
    least = "" if meta is None else f"above {meta.gt:g}" if meta.gt is not None else f"{number(meta.ge)}"
    most = "" if meta is None or meta.le is None else f" to {number(meta.le)}"
    return (least + most) or "number"


def number(value: float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def spelled(default: Any) -> str:
    if default is msgspec.NODEFAULT or default is None or default == "" or isinstance(default, Settings):
        return ""
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def written(page: str) -> dict[str, tuple[str, str]]:
    """By path: the words for a default and the meaning, as the page has them."""
    found = {}
    for path, rest in ROW.findall(page):
        *_, default, meaning = (cell.strip() for cell in re.split(r"(?<!\\)\|", rest))
        found[path] = (default, meaning)
    return found


def tables(page: str) -> str:
    """The page with the tables that it should have."""
    groups = [name for _, name, _, _ in BLOCK.findall(page)]
    known, rows = written(page), {name: [] for name in groups}
    for path, values, default, required in settings():
        fits = [name for name in groups if path.startswith(name)]
        if not fits:
            raise SystemExit(f"no table of {PAGE.name} is for {path}")
        said, meaning = known.get(path, ("", ""))
        shown = default or ("required" if required else said or "none")
        rows[max(fits, key=len)].append(f"| `{path}` | {values} | {shown} | {meaning} |")
    head = "| setting | values | default | meaning |\n|---|---|---|---|\n"
    return BLOCK.sub(lambda part: part[1] + head + "\n".join(rows[part[2]]) + "\n" + part[4], page)


def described(page: str) -> dict[str, str]:
    """The meaning of each setting, as plain text."""
    return {path: plain(meaning) for path, (_, meaning) in written(page).items()}


def plain(text: str) -> str:
    """Markdown without its marks."""
    return re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", text).replace("`", "").replace("\\|", "|")


if __name__ == "__main__":
    told = tables(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(told, encoding="utf-8")
    TARGET.write_text(json.dumps(described(told), indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
