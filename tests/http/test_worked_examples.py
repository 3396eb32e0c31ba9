"""The worked examples of the pages: what each section's configuration does, by the commands that show it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from edge.config import Config
from tests.harness import Edge, clean_environment, providers, running

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
UP_TO = r"(?:(?!^## ).*\n)*?"
SECTION = re.compile(rf"^## (\w+)\n{UP_TO}```yaml\n((?:.*\n)*?)```\n{UP_TO}```console\n((?:.*\n)*?)```\n", re.MULTILINE)
EXAMPLES = SECTION.findall(PAGE)
ADDRESS = "http://127.0.0.1:8080"


def test_every_section_has_one():
    assert [name for name, _, _ in EXAMPLES] == list(Config.__struct_fields__)


def steps(console: str) -> list[tuple[str, str]]:
    """Commands, and what each prints; ``...`` stands for anything."""
    parts = re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]
    return [tuple(part.split("\n", 1)) for part in parts]


def pattern(shown: str) -> str:
    return re.escape(shown.strip()).replace(re.escape("..."), "(?s:.*)")


@pytest.mark.parametrize(("name", "text", "console"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_a_worked_example_does_what_the_page_says(simulator, tmp_path, name, text, console):
    told = yaml.safe_load(text)
    told.setdefault("providers", {})
    for each in told["providers"].values():
        each["base_url"] = f"{simulator.url}/v1"
    for name, each in providers(simulator.url).items():
        told["providers"].setdefault(name, each)
    if "file" in told.get("limits", {}):
        told["limits"]["file"] = str(tmp_path / "spend.sqlite")
    (tmp_path / "edge.yaml").write_text(json.dumps(told))
    (tmp_path / "edge").write_text(f'#!/bin/sh\nexec {sys.executable} -m edge "$@"\n')
    (tmp_path / "edge").chmod(0o755)
    env = clean_environment()
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    (tmp_path / "served").mkdir()
    made = Edge(tmp_path / "served", told)
    with running(made):
        for command, shown in steps(console):
            script = command.replace(ADDRESS, made.url)
            done = subprocess.run(
                ["sh", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
            )
            said = done.stdout.replace("\r", "").strip()
            assert re.fullmatch(pattern(shown), said), (command, said, done.stderr)


def test_explain_prints_what_its_page_shows(tmp_path):
    page = (ROOT / "docs" / "explain.md").read_text()
    config, request, console = (
        re.search(rf"^```{kind}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1] for kind in ("yaml", "json", "console")
    )
    (tmp_path / "edge.yaml").write_text(config)
    (tmp_path / "request.json").write_text(request)
    ((command, shown),) = steps(console)
    arguments = [sys.executable, "-m", *command.split()]
    done = subprocess.run(arguments, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout == shown, done.stderr


def test_an_operator_drains_an_upstream_as_the_page_of_routing_says(simulator, tmp_path):
    page = (ROOT / "docs" / "routing.md").read_text()
    (command,) = re.findall(r"^```sh\n(curl .*?)^```", page, re.MULTILINE | re.DOTALL)
    admin = "admin-key-of-this-test"
    keys = [{"id": "operator", "digests": [f"sha256:{sha256(admin.encode()).hexdigest()}"], "admin": True}]
    made = Edge(tmp_path, {"providers": providers(simulator.url), "auth": {"keys": keys}})
    with running(made):
        env = clean_environment(ADMIN=admin)
        for action in ("drain", "restore"):
            script = command.replace("https://edge", made.url).replace('"drain"', f'"{action}"')
            done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, timeout=60)
            assert json.loads(done.stdout) == {"upstream": "openai/gpt-4o", "action": action}


def test_the_python_of_the_page_about_translation_runs_as_it_stands(simulator, tmp_path):
    page = (ROOT / "docs" / "translation.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    made = Edge(tmp_path, {"providers": providers(simulator.url)})
    with running(made):
        arguments = [sys.executable, "-c", code.replace(ADDRESS, made.url)]
        done = subprocess.run(arguments, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert all(done.stdout.splitlines())
