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
    GITHUB / "dependabot.yml": "dependabot",
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
    for path in re.findall(r"(?:run: |-r |file: |-f | {10})((?:\.ci|requirements|deploy)/\S+)", text):
        assert (ROOT / path).exists(), path


def steps() -> list[dict]:
    return [step for path in WORKFLOWS for job in workflow(path.stem)["jobs"].values() for step in job["steps"]]


def test_actions_are_fixed_by_commit_and_say_which_version_that_is():
    """A tag can be moved, by whoever takes over an action."""
    used = [line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text())]
    assert used
    for each in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each
    versions = {(each.partition("@")[0], each.partition("@")[2]) for each in used}
    assert len({action for action, _ in versions}) == len(versions), "one version of each"


def test_no_step_keeps_a_credential_that_it_does_not_need():
    for step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"] == {"persist-credentials": False}


def test_what_is_installed_for_a_release_is_fixed_by_hash():
    said = [line for step in steps() for line in step.get("run", "").splitlines() if "pip install" in line]
    assert len(said) == 2
    assert all("--require-hashes -r requirements/" in line for line in said)


RIGHTS = {
    "source": None,
    "wheels": None,
    "attest": {"contents": "read", "id-token": "write", "attestations": "write"},
    "publish": {"id-token": "write"},
    "image": {"contents": "read", "packages": "write"},
    "image-names": {"packages": "write", "id-token": "write", "attestations": "write"},
    "notes": {"contents": "write"},
}
"""What a job of a release may do beside reading the repository, which is what it may where nothing is said."""


def test_a_release_is_published_without_a_token_only_by_a_tag_and_no_job_may_more_than_it_has_to():
    release = workflow("release")
    assert release[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as a boolean
    assert all(workflow(path.stem)["permissions"] == {"contents": "read"} for path in WORKFLOWS)
    assert {name: job.get("permissions") for name, job in release["jobs"].items()} == RIGHTS
    assert release["jobs"]["publish"]["environment"] == {"name": "pypi"}
    assert set(re.findall(r"secrets\.(\w+)", (GITHUB / "workflows/release.yml").read_text())) <= {"GITHUB_TOKEN"}
    for job in release["jobs"].values():
        assert job["timeout-minutes"] <= 120


def test_an_image_is_compiled_on_a_machine_of_its_kind_and_run_before_it_has_a_name():
    jobs = workflow("release")["jobs"]
    assert jobs["image"]["strategy"]["matrix"]["runner"] == ["ubuntu-latest", "ubuntu-24.04-arm"]
    assert "qemu" not in (GITHUB / "workflows/release.yml").read_text()
    words = [str(step) for step in jobs["image"]["steps"]]
    (built, run) = (next(n for n, told in enumerate(words) if what in told) for what in ("build-push", "try.sh"))
    assert built < run < next(n for n, told in enumerate(words) if "upload-artifact" in told)
    assert "push-by-digest=true" in words[built]
    assert jobs["image-names"]["needs"] == "image"
    assert set(jobs["notes"]["needs"]) == {"publish", "image-names"}


def test_the_changelog_begins_with_this_version():
    (newest, *_) = re.findall(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[0] == __version__
