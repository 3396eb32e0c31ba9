"""The recipes of docs/recipes: what a page tells its readers to write and to run, as it stands there.

A section (``## TITLE``) has files, which are the code blocks with a ``title``, and commands, which are the blocks in ``sh``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.harness import Edge, Simulator, clean_environment

PAGES = Path(__file__).parents[1] / "docs" / "recipes"
ADDRESS, KEY = "127.0.0.1:8080", "YOUR-EDGE-KEY"
"""What a reader has to replace, and all that a test does."""
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RESULT = {
    "/v1/chat/completions": '"role": "tool"',
    "/v1/responses": '"type": "function_call_output"',
    "/v1/messages": '"type": "tool_result"',
}
"""How the result of a tool goes back, by the API."""


@dataclass(frozen=True)
class Recipe:
    """``files`` by their names, of which ~ is the home; ``commands`` in the order of the page; ``others`` are blocks that
    are neither, in the language that each is in.
    """

    files: dict[str, str]
    commands: list[str]
    others: list[tuple[str, str]]


@cache
def recipes(page: str) -> dict[str, Recipe]:
    """The recipes of a page, by their titles."""
    _, *parts = SECTION.split((PAGES / f"{page}.md").read_text())
    found = {}
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        blocks = BLOCK.findall(text)
        found[title] = Recipe(
            {name: body for _, name, body in blocks if name},
            [body for language, name, body in blocks if language == "sh" and not name],
            [(language, body) for language, name, body in blocks if language != "sh" and not name],
        )
    return found


def environment(name: str) -> Path:
    """The folder of one of the clients that ``make test`` has installed; skips the test where it is not there."""
    folder = Path(os.environ.get("EDGE_CLIENTS") or "/nowhere") / name
    if not folder.exists():
        pytest.skip(f"EDGE_CLIENTS has no {name} (make test installs it)")
    return folder


@dataclass(frozen=True)
class Kitchen:
    """Where a recipe is followed: a folder to work in with a home in it, an edge's address, and a key that it takes."""

    folder: Path
    address: str
    key: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def python(self, name: str) -> dict[str, str]:
        """The environment in which ``python`` and the programs beside it are those of an installed client."""
        programs = Path(sys.executable).parent if name == "current" else environment(name) / "bin"
        return {"PATH": f"{programs}:{os.environ['PATH']}"}

    def node(self, name: str) -> dict[str, str]:
        """One in which Node finds an installed client's packages, and the shell its programs."""
        if shutil.which("node") is None:
            pytest.skip("node is not here")
        modules = environment(name) / "node_modules"
        (self.folder / "node_modules").symlink_to(modules)
        return {"PATH": f"{modules / '.bin'}:{os.environ['PATH']}"}

    def go(self) -> dict[str, str]:
        """One in which Go finds the modules that tests/clients/go pins, and asks nobody for another."""
        modules = environment("go")
        for name in ("go.mod", "go.sum"):
            shutil.copy(modules / name, self.folder)
        named = subprocess.run(["go", "env", "GOCACHE", "GOMODCACHE"], capture_output=True, text=True, check=True)
        cache, downloaded = named.stdout.split()
        return {"GOCACHE": cache, "GOMODCACHE": downloaded, "GOPROXY": "off"}

    def own(self, text: str) -> str:
        """`text` with this kitchen's address and key."""
        return text.replace(ADDRESS, self.address).replace(KEY, self.key)

    def follow(self, recipe: Recipe, *, timeout_s: float = 120, **variables: str) -> list[str]:
        """What each command has printed. Fails where one of them does."""
        self.home.mkdir(exist_ok=True)
        assert recipe.commands
        assert not recipe.others
        for name, text in recipe.files.items():
            path = self.home / name[2:] if name.startswith("~/") else self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.own(text))
        env = clean_environment(HOME=str(self.home), **variables)
        printed = []
        for command in recipe.commands:
            got = subprocess.run(
                ["sh", "-euc", self.own(command)],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
            )
            assert got.returncode == 0, f"{command}\n{got.stdout[-3000:]}\n{got.stderr[-3000:]}"
            printed.append(got.stdout)
        return printed


@dataclass
class Served:
    """An edge that lets nobody in without the key, and the simulator behind it."""

    edge: Edge
    simulator: Simulator
    key: str

    def asked(self, since: int) -> list[dict]:
        """What has been asked of the models since, each request with its body read and its path without a query."""
        entries = [{**entry, "path": entry["path"].partition("?")[0]} for entry in self.simulator.ledger(since)]
        return [{**entry, "body": json.loads(entry["body"])} for entry in entries if entry["path"] in RESULT]
