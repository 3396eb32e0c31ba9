"""deploy/compose without an engine: its scripts make a real cluster of Redis, and its configuration serves with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.harness import Edge, Process, clean_environment, running
from tests.ports import free_port
from tests.redis_servers import need_redis

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"


def run(script: Path, *arguments: str, **env: str) -> str:
    done = subprocess.run(
        [str(script), *arguments], env=clean_environment(**env), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Path, str]:
    """A copy of the folder after `prepare`, and what that said."""
    folder = tmp_path_factory.mktemp("deploy") / "compose"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    return folder, run(folder / "prepare", EDGE=f"{sys.executable} -m edge", OPENAI_API_KEY="sk-openai-canary")


@pytest.fixture(scope="module")
def nodes(prepared, tmp_path_factory) -> Iterator[list[str]]:
    """Three nodes, started by `start` with redis.conf, joined by `join`: their addresses."""
    need_redis()
    folder, _ = prepared
    made, addresses = [], []
    for _ in range(3):
        place = tmp_path_factory.mktemp("redis")
        port = free_port(bus=True)
        conf = (folder / "redis/redis.conf").read_text()
        (place / "mine.conf").write_text(
            conf.replace("port 6379", f"port {port}\nbind 127.0.0.1").replace("/data", f'"{place}"')
        )
        env = {
            "CONF": str(place / "mine.conf"),
            "RUN": str(place),
            "PASSWORD_FILE": str(folder / "secrets/redis_password"),
        }
        made.append(Process(str(folder / "redis/start"), env=clean_environment(**env), cwd=place))
        addresses.append(f"127.0.0.1:{port}")
    try:
        for process in made:
            process.wait_for("Ready to accept connections")
        yield addresses
    finally:
        for process in made:
            process.stop()


def test_prepare_makes_secrets_once_and_shows_a_client_its_key(prepared):
    folder, said = prepared
    secrets = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    wanted = yaml.safe_load((folder / "compose.yml").read_text())["secrets"]
    assert set(secrets) == set(wanted)
    assert secrets["openai_api_key"] == "sk-openai-canary"
    assert "canary" not in (folder / ".env").read_text()
    assert len({secrets[name] for name in ("edge_secret", "redis_password", "grafana_password")}) == 3
    assert all(len(secrets[name]) == 48 for name in ("edge_secret", "redis_password", "grafana_password"))
    assert (folder / "secrets").stat().st_mode & 0o077 == 0
    assert re.search(r"key for clients \(shown once\): lea_client_\w+", said)
    assert "lea_client" not in "".join(secrets.values())
    again = run(folder / "prepare", EDGE="false")
    assert "shown once" not in again
    assert secrets == {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_the_nodes_are_joined_once_and_only_with_the_password(prepared, nodes):
    folder, _ = prepared
    password = str(folder / "secrets/redis_password")
    assert "the cluster is whole" in run(folder / "redis/join", *nodes, PASSWORD_FILE=password)
    assert "Adding" not in run(folder / "redis/join", *nodes, PASSWORD_FILE=password)
    for node in nodes:
        run(folder / "redis/healthy", PORT=node.rpartition(":")[2], PASSWORD_FILE=password)
    port = nodes[0].rpartition(":")[2]
    refused = subprocess.run(["redis-cli", "-p", port, "ping"], capture_output=True, text=True, timeout=10)
    assert "NOAUTH" in refused.stdout
    env = {**os.environ, "REDISCLI_AUTH": Path(password).read_text()}
    settings = subprocess.run(
        ["redis-cli", "-p", port, "config", "get", "maxmemory*"], env=env, capture_output=True, text=True, timeout=10
    )
    assert "allkeys-lru" in settings.stdout
    assert str(2 << 30) in settings.stdout


def test_the_edges_of_compose_serve_by_their_keys_and_share_answers(prepared, nodes, simulator, tmp_path):
    folder, said = prepared
    password = folder / "secrets/redis_password"
    run(folder / "redis/join", *nodes, PASSWORD_FILE=str(password))
    (folder / "secrets/redis_url").unlink()
    (folder / "secrets/redis_url").write_text(f"redis://:{password.read_text()}@{nodes[0]}")
    text = (folder / "edge.yaml").read_text().replace("/run/secrets/", f"{folder}/secrets/")
    for host in ("api.openai.com", "api.anthropic.com"):
        text = text.replace(f"https://{host}", simulator.url)
    made = [Edge(tmp_path, yaml.safe_load(text)) for _ in range(2)]
    key = re.search(r"shown once\): (\S+)", said)[1]
    request = {"model": "gpt-5-mini", "temperature": 0, "messages": [{"role": "user", "content": "Say hello."}]}
    with running(*made):
        cached = []
        for each in made:
            for _ in range(2):
                answer = httpx2.post(
                    f"{each.url}/v1/chat/completions",
                    json=request,
                    headers={"authorization": f"Bearer {key}"},
                    timeout=30,
                )
                assert answer.status_code == 200, answer.text
                cached.append(answer.headers["x-edge-cache"])
        assert cached[0] == "miss"
        assert cached[2] == "redis", "what the first has asked for, the second finds"
        assert httpx2.post(f"{made[0].url}/v1/chat/completions", json=request).status_code == 401
        admin = (folder / "secrets/edge_admin_key").read_text()
        metrics = httpx2.get(f"{made[0].url}/metrics", headers={"authorization": f"Bearer {admin}"})
        assert metrics.status_code == 200
        assert "edge_requests_total" in metrics.text
