"""The pages say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

from edge import config, errors
from edge.cli import main
from edge.config_file import parse

ROOT = Path(__file__).parents[2]


def classes(base=errors.EdgeError):
    yield base
    for each in base.__subclasses__():
        yield from classes(each)


def test_every_error_is_documented_and_each_code_names_one_kind():
    page = (ROOT / "docs/errors.md").read_text()
    documented = dict(re.findall(r"^## (\w+)\n\n\d+, `(\w+)`", page, re.MULTILINE))
    kinds: dict[str, set[str]] = {}
    for each in classes():
        kinds.setdefault(each.code, set()).add(each.kind)
    assert {code: {kind} for code, kind in documented.items()} == kinds
    assert set(documented.values()) <= set(errors.KINDS)


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^ +(\w+)(?: {2,}|$)", errors.__doc__, re.MULTILINE)
    assert sorted(drawn) == sorted(each.__name__ for each in classes())
    for name, status, code in re.findall(r"^ +(\w+) +(\d{3}) (\w+)", errors.__doc__, re.MULTILINE):
        each = getattr(errors, name)
        assert (each.status, each.code) == (int(status), code), name


def settings(kind=config.Config, prefix=""):
    hints = get_type_hints(kind)
    for each in msgspec.structs.fields(kind):
        hint, path = hints[each.name], prefix + each.name
        inner = [
            part for part in (hint, *get_args(hint)) if isinstance(part, type) and issubclass(part, config.Settings)
        ]
        if not inner:
            yield path
        elif not hasattr(hint, "__origin__"):
            yield from settings(inner[0], f"{path}.")
        else:
            item = "[]." if hint.__origin__ is list else ".ALIAS." if path == "models" else ".NAME."
            yield from settings(inner[0], path + item)


def test_every_setting_is_documented_and_nothing_else():
    page = (ROOT / "docs/configuration.md").read_text()
    documented = re.findall(r"^\| `([\w.\[\]]+)` \|", page, re.MULTILINE)
    assert sorted(documented) == sorted(settings())


def test_every_command_is_in_the_readme():
    page = (ROOT / "README.md").read_text()
    for name in main.commands:
        assert f"`edge {name}" in page, name


def test_the_readmes_configuration_is_accepted():
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert parse(text, "readme.yaml", {}).models["smart"]


def test_links_in_the_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
