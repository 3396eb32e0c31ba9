"""The commands of docs/quickstart.md and their configuration, as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import yaml

from tests.harness import Edge, Process, clean_environment, free_port, providers, running, wait_until_ready

ROOT = Path(__file__).parents[2]
PAGE, README = ((ROOT / name).read_text() for name in ("docs/quickstart.md", "README.md"))
CURL, SETUP = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(CONFIG,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_readme_begins_as_the_quick_start_does():
    install, curl = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert curl == CURL
    assert all(line in PAGE for line in install.splitlines())


def test_the_demo_answers_the_first_request(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    process = Process(sys.executable, "-m", "edge", "demo", "--port", url.rpartition(":")[2])
    try:
        wait_until_ready(url)
        assert "http://127.0.0.1:8080/" in CURL
        script = CURL.replace("http://127.0.0.1:8080", url)
        done = subprocess.run(["sh", "-euc", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert "simulator" in json.loads(done.stdout)["choices"][0]["message"]["content"]
        assert httpx2.get(f"{url}/admin").status_code == 200
    finally:
        process.stop()


def test_the_python_of_the_readme_asks_either_api_for_the_models_of_the_other():
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    address = "http://127.0.0.1:8080"
    assert address in code
    process = Process(sys.executable, "-m", "edge", "demo", "--port", "0")
    try:
        url = process.wait_for(r'"address":"(http://[^"]+)"')[1]
        wait_until_ready(url)
        command = [sys.executable, "-c", code.replace(address, url)]
        done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60)
    finally:
        process.stop()
    assert done.returncode == 0, done.stderr
    assert [line.startswith("[edge demo: a simulator answers") for line in done.stdout.splitlines()] == [True, True]


def test_its_configuration_serves_who_has_the_key(simulator, tmp_path):
    (tmp_path / "edge.yaml").write_text(CONFIG)
    (tmp_path / "edge").write_text(f'#!/bin/sh\nexec {sys.executable} -m edge "$@"\n')
    (tmp_path / "edge").chmod(0o755)
    *commands, serve = SETUP.strip().splitlines()
    env = clean_environment()
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", "\n".join(commands)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "edge.yaml: ok" in done.stdout
    key = re.search(r"key \(shown once\): (\S+)", done.stdout)[1]
    assert serve == "edge serve -c edge.yaml"
    config = yaml.safe_load(CONFIG)
    config["auth"]["keys_file"] = str(tmp_path / "keys.json")
    config["providers"] = providers(simulator.url)
    made = Edge(tmp_path, config)
    with running(made):
        asked = {"model": "smart", "messages": [{"role": "user", "content": "Say hello."}]}
        url = f"{made.url}/v1/chat/completions"
        answer = httpx2.post(url, json=asked, headers={"authorization": f"Bearer {key}"}, timeout=30)
        assert answer.status_code == 200, answer.text
        assert httpx2.post(url, json={**asked, "model": "gpt-5"}, headers={"x-api-key": key}).status_code == 403
        assert httpx2.post(url, json=asked).status_code == 401
