"""``edge serve --watch``: a configuration that changes is taken without a signal, as Kubernetes changes a ConfigMap."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import httpx2

from tests.harness import Process, clean_environment, free_port, providers, until, wait_until_ready


def config(url: str, *aliases: str) -> str:
    models = {alias: {"upstreams": [{"to": "openai/gpt-4o"}]} for alias in aliases}
    return json.dumps({"providers": providers(url), "models": models})


def put(folder: Path, version: str, text: str) -> None:
    """As the kubelet does: a folder for each version, and a link to the one that counts, which is replaced at once."""
    (folder / version).mkdir()
    (folder / version / "edge.yaml").write_text(text)
    (folder / "..next").symlink_to(version)
    (folder / "..next").replace(folder / "..data")
    if not (folder / "edge.yaml").exists():
        (folder / "edge.yaml").symlink_to("..data/edge.yaml")


def test_a_changed_file_is_read_and_one_with_mistakes_changes_nothing(simulator, tmp_path):
    put(tmp_path, "..1", config(simulator.url, "first"))
    url = f"http://127.0.0.1:{free_port()}"
    path = str(tmp_path / "edge.yaml")
    command = [sys.executable, "-m", "edge", "serve", "--watch", "-c", path, "--port", url.rpartition(":")[2]]
    process = Process(*command, env=clean_environment())

    def aliases() -> set[str]:
        return {each["id"] for each in httpx2.get(f"{url}/v1/models").json()["data"]} & {"first", "second", "third"}

    try:
        wait_until_ready(url)
        assert aliases() == {"first"}
        put(tmp_path, "..2", config(simulator.url, "first", "second"))
        until(lambda: aliases() == {"first", "second"})
        put(tmp_path, "..3", '{"provders": {}}')
        process.wait_for("reload refused")
        assert aliases() == {"first", "second"}
        put(tmp_path, "..4", config(simulator.url, "third"))
        until(lambda: aliases() == {"third"})
    finally:
        process.stop()
