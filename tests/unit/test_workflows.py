"""What runs at GitHub: workflows that actionlint takes, and names in them that exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edge import __version__

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, "github-workflows"),
    **dict.fromkeys((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml"), "github-issue-forms"),
    GITHUB / "ISSUE_TEMPLATE/config.yml": "github-issue-config",
}
BESIDE = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def workflow(name: str) -> dict:
    return yaml.safe_load((GITHUB / "workflows" / f"{name}.yml").read_text())


def test_actionlint_takes_the_workflows():
    program = shutil.which("actionlint", path=BESIDE)
    if program is None:
        pytest.skip("actionlint is not here (make tools)")
    done = subprocess.run([program, *map(str, WORKFLOWS)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda path: path.name)
def test_a_file_is_of_its_schema(file):
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not here")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{SCHEMAS[file]}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_workflows_call_is_there():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    made = re.findall(r"\bmake ([a-z-]+)", text)
    assert made
    assert set(made) <= set(targets)
    for path in re.findall(r"(?:run: |-r |file: )((?:\.ci|requirements|deploy)/\S+)", text):
        assert (ROOT / path).exists(), path


def test_a_release_is_published_without_a_token_and_only_by_a_tag():
    release = workflow("release")
    assert release[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as a boolean
    assert release["permissions"] == {"contents": "read"}
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert set(re.findall(r"secrets\.(\w+)", (GITHUB / "workflows/release.yml").read_text())) <= {"GITHUB_TOKEN"}
    for job in release["jobs"].values():
        assert job["timeout-minutes"] <= 120


def test_the_changelog_begins_with_this_version():
    (newest, *_) = re.findall(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[0] == __version__
