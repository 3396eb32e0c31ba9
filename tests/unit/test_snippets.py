"""What stands in the pages as code is what the programs take: configurations, commands, make targets, JSON, Python."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from edge.cli import main
from edge.config.file import read

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOLD_COMMANDS = [*PAGES, *(ROOT / "docs/recipes").glob("*.md"), ROOT / "SECURITY.md", ROOT / "deploy/README.md"]
"""Pages whose commands have to exist; the recipes' configurations have tests of their own."""
FENCE = re.compile(r"^```(\w*)(?: [^\n]*)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DIGEST = "sha256:" + "0123456789abcdef" * 4
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def blocks(kind: str) -> list:
    return [
        pytest.param(text, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, (said, text) in enumerate(FENCE.findall(page.read_text()))
        if said == kind
    ]


def whole(told: dict) -> dict:
    """A part of a configuration with the providers and aliases that it speaks of, and a digest for each that is left out."""
    providers, models = told.setdefault("providers", {}), told.setdefault("models", {})
    if not models:
        providers.setdefault("openai", {"dialect": "openai", "base_url": "https://api.openai.com/v1"})
    for alias in list(models.values()):
        alias.setdefault("upstreams", [{"to": "openai/gpt-5"}])
        for target in alias["upstreams"]:
            name = target["to"].split("/")[0]
            dialect = "anthropic" if name == "anthropic" else "openai"
            providers.setdefault(name, {"dialect": dialect, "base_url": f"https://{name}.example/v1"})
        fallbacks = alias.get("fallbacks", [])
        for names in fallbacks.values() if isinstance(fallbacks, dict) else [fallbacks]:
            for name in names:
                models.setdefault(name, {"upstreams": [{"to": alias["upstreams"][0]["to"]}]})
    for number, key in enumerate(told.get("auth", {}).get("keys", [])):
        if key.get("digests") == ["sha256:..."]:
            key["digests"] = [f"{DIGEST[:-2]}{number:02}"]
    return told


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_configuration_in_a_page_is_accepted(text, tmp_path):
    if "pattern:" in text:
        pytest.importorskip("re2", reason="google-re2 is not installed: no patterns")
    told = whole(yaml.safe_load(re.sub(r"\boff\b", '"off"', text)))
    for part in re.findall(r"/etc/edge/[\w.-]+", text):
        (tmp_path / Path(part).name).write_text('{"keys": []}' if part.endswith(".json") else "x" * 40)
    if "keys_file" in told.get("auth", {}):
        told["auth"]["keys_file"] = str(tmp_path / Path(told["auth"]["keys_file"]).name)
        Path(told["auth"]["keys_file"]).write_text('{"keys": []}')
    (tmp_path / "edge.json").write_text(json.dumps(told).replace("/etc/edge/", f"{tmp_path}/"))
    assert read(str(tmp_path / "edge.json"), secrets=False).notes is not None


def spans(page: Path) -> list[str]:
    """What is spelled as a command in a page: lines of shell blocks, and code within the text."""
    found, text = [], page.read_text()
    for kind, block in FENCE.findall(text):
        if kind in ("sh", "console"):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.removeprefix("$ ") for line in lines if kind == "sh" or line.startswith("$ ")]
    return found + re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def parts(line: str) -> list[str]:
    """The words of a command up to what a shell makes of the rest."""
    return shlex.split(re.split(r" [|>&;] ?|\[", line)[0], comments=True)


@pytest.mark.parametrize("page", TOLD_COMMANDS, ids=lambda page: page.stem)
def test_every_command_of_the_pages_exists_with_its_options(page):
    for line in spans(page):
        if not re.match(r"edge [a-z]", line) or ("'" in line and line.count("'") % 2):
            continue
        command, words = main, parts(line)[1:]
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            command = command.get_command(click.Context(command), words.pop(0))
            assert command is not None, line
        options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
        passes_on = any(each.nargs == -1 and isinstance(each, click.Argument) for each in command.params)
        for word in () if passes_on else words:
            if word.startswith("-") and word != "-":
                assert word.split("=")[0] in options, line


@pytest.mark.parametrize("page", TOLD_COMMANDS, ids=lambda page: page.stem)
def test_every_make_target_of_the_pages_exists(page):
    for line in spans(page):
        if line.startswith("make "):
            target = line.split()[1]
            assert target in TARGETS, line


@pytest.mark.parametrize("text", blocks("json"))
def test_json_in_a_page_is_json(text):
    text = text.strip()
    json.loads(text if text.startswith(("{", "[")) else f"{{{text}}}")


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml_in_a_page_is_toml(text):
    assert tomllib.loads(text)


@pytest.mark.parametrize("text", blocks("python"))
def test_python_in_a_page_is_python(text):
    ast.parse(text)
