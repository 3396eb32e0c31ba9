"""The site of the documentation: `make docs`."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]


def test_it_is_built_and_every_link_leads_somewhere(tmp_path):
    pytest.importorskip("material", reason="mkdocs-material is not here")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "-q", "--strict", "--site-dir", str(tmp_path)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    first = (tmp_path / "index.html").read_text()
    assert 'href="configuration/"' in first
    assert 'href="docs/' not in first
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?:https?:)?//[^\"]+", first)
    assert not [each for each in loaded if "canonical" not in each], "a page loads nothing from elsewhere"
    pictures = 0
    for page in tmp_path.rglob("*.html"):
        for each in re.findall(r'(?:src|srcset)="([^"]+\.webp)"', page.read_text()):
            assert (page.parent / each).resolve().exists(), f"{page.relative_to(tmp_path)}: {each}"
            pictures += 1
    assert pictures >= 4
    assert (tmp_path / "repository/deploy/nginx/edge.conf").read_text() == (ROOT / "deploy/nginx/edge.conf").read_text()


def test_every_page_is_in_the_navigation():
    named = set(re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    folder = ROOT / "docs"
    pages = {str(path.relative_to(folder)) for place in (folder, folder / "recipes") for path in place.glob("*.md")}
    pages.add("index.md")
    assert pages == {name for name in named if not name.startswith("repository/")}
    for name in named - pages:
        assert (ROOT / name.removeprefix("repository/")).exists(), name


def test_the_page_of_the_commands_is_what_they_say():
    """After a change: python tools/describe_commands.py"""
    described = runpy.run_path(str(ROOT / "tools/describe_commands.py"))["described"]()
    assert (ROOT / "docs/cli.md").read_text() == described


def test_every_decision_is_in_its_list():
    folder = ROOT / "docs/decisions"
    listed = re.findall(r"^\* \[(.+)\]\((\S+)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    pages = [path for path in sorted(folder.glob("*.md")) if path.name != "README.md"]
    assert listed == [(path.read_text().split("\n")[0].removeprefix("# "), path.name) for path in pages]


def test_the_comparison_says_what_it_has_of_each_gateway_and_where_it_was_read():
    page = (ROOT / "docs/comparison.md").read_text()
    rows = [re.split(r" *\| *", line.strip("| ")) for line in page.splitlines() if line.startswith("|")]
    first = next(index for index, row in enumerate(rows) if row[0] == "project")
    gateways = page.splitlines()[next(n for n, line in enumerate(page.splitlines()) if line.startswith("| | edge"))]
    names = [each.strip() for each in gateways.strip("|").split("|")][2:]
    read = [row[0].rpartition("/")[2] for row in rows[first + 2 :]]
    assert len(read) == len(names)
    for row in page.splitlines():
        if row.startswith("|") and "/" not in row.split("|")[1] and row.count("|") > 4:
            assert row.count("|") == len(names) + 3, row
